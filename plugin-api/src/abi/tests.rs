//! What the macro writes matches what the loader looks for, and all types that cross can grow.

use abi_stable::StableAbi;
use abi_stable::type_layout::{TLField, TypeLayout};

use super::*;

/// Types of this crate that never gain a field, and the reason.
const CLOSED: [(&str, &str); 8] = [
    ("Extra", "it is a list of fields with numbers"),
    ("FfiBytes", "bytes are bytes; what else there is stands beside them"),
    ("FfiFrame", "its kind is a number, and what a kind carries is bytes"),
    ("LogField", "a value is any JSON; what belongs to all of them is the record's"),
    ("Request", "its head is a list of named fields, and its body has a table"),
    ("RequestHead", "it is a list of named fields"),
    ("Response", "its head is a list of named fields, and its body has a table"),
    ("ResponseHead", "it is a list of named fields"),
];

fn fields(layout: &'static TypeLayout) -> Vec<TLField> {
    let own = layout.get_fields().into_iter().flat_map(|fields| fields.iter());
    own.chain(layout.phantom_fields().iter()).collect()
}

/// All types that can be reached from this one.
fn reach(layout: &'static TypeLayout, seen: &mut Vec<&'static TypeLayout>) {
    // By address: names omit the parameters of generic types.
    if seen.iter().any(|other| std::ptr::eq(*other, layout)) {
        return;
    }
    seen.push(layout);
    for field in fields(layout) {
        reach(field.layout(), seen);
        for function in field.function_range().iter() {
            let values = function.param_type_layouts.iter().chain(function.return_type_layout());
            values.for_each(|layout| reach(layout(), seen));
        }
    }
}

/// A table of functions, a type with one, or a type with space for further fields.
fn grows(layout: &'static TypeLayout) -> bool {
    let grows = |field: &TLField| {
        let kind = field.layout().full_type().to_string();
        kind.contains("PrefixRef") || kind.contains("VtableRef") || kind == "Extra"
    };
    layout.is_prefix_kind() || fields(layout).iter().any(grows)
}

#[test]
fn every_type_that_crosses_can_get_a_field_more_while_older_plugins_load() {
    let mut seen = Vec::new();
    reach(PluginModuleRef::LAYOUT, &mut seen);
    let own: Vec<_> = seen.into_iter().filter(|layout| layout.package() == "streamgate-plugin-api").collect();
    for name in
        ["Instance", "StartArgs", "Event", "SubscribeOptions", "Mount", "Mounts", "LogRecord", "Service"]
            .into_iter()
            .chain(["Body", "Subscription", "HostHandle"])
            .chain(CLOSED.map(|(name, _)| name))
    {
        assert!(own.iter().any(|layout| layout.name() == name), "{name} is not found; is the search broken?");
    }
    for layout in own {
        let closed = CLOSED.iter().any(|(name, _)| *name == layout.name());
        assert!(
            grows(layout) != closed,
            "{} crosses the boundary and cannot grow: give it a table or an `extra: Extra`, or say why not",
            layout.full_type(),
        );
    }
}

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
