//! What the macro writes is what the loader looks for.

use super::*;

#[test]
fn the_manifest_can_be_read_from_the_exported_data_alone() {
    static HEADER: abi_stable::library::LibHeader = lib_header(constructor);
    extern "C" fn constructor() -> abi_stable::library::RootModuleResult {
        unreachable!("reading the manifest runs nothing")
    }
    static BLOB: ManifestBlob = ManifestBlob::new("name = 'x'\nversion = '1'\nprovides = ['a', ]\n", &HEADER);
    assert!(BLOB.is_manifest());
    assert_eq!(BLOB.api_version(), (API_MAJOR, API_MINOR));
    assert!(BLOB.text().is_some_and(|text| text.contains("provides = ['a', ]")));
}
