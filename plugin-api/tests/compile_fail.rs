//! Mistakes in `export_plugin!`, and the compiler's messages about them.

#[test]
fn mistakes_in_export_plugin_have_clear_messages() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
