//! The mistakes that authors make in `export_plugin!`, and what the compiler tells them.

#[test]
fn mistakes_in_export_plugin_are_told_in_words() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
