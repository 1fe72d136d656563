//! The one symbol that a plugin's cdylib exports, and the macro that writes it.

use abi_stable::library::{CheckTypeLayout, LibHeader, RootModuleResult};

use super::{API_MAJOR, API_MINOR, PluginModuleRef};

/// The manifest as data, with the version of the boundary, readable before any function of the library is
/// called or its layout is known. This struct never changes.
#[repr(C)]
pub struct ManifestBlob {
    magic: [u8; 8],
    api_major: u32,
    api_minor: u32,
    text: *const u8,
    text_len: usize,
    header: *const LibHeader,
}

// SAFETY: it points to constants.
unsafe impl Sync for ManifestBlob {}

const MAGIC: [u8; 8] = *b"SGPLUGIN";

impl ManifestBlob {
    /// The prefix of the symbol; the plugin's name follows.
    pub const SYMBOL_PREFIX: &'static str = "streamgate_plugin_";

    /// For the macro.
    pub const fn new(text: &'static str, header: &'static LibHeader) -> Self {
        Self {
            magic: MAGIC,
            api_major: API_MAJOR,
            api_minor: API_MINOR,
            text: text.as_ptr(),
            text_len: text.len(),
            header,
        }
    }

    /// True if this is a manifest.
    pub fn is_manifest(&self) -> bool {
        self.magic == MAGIC
    }

    /// The major and minor version of the boundary that the plugin was built for.
    pub const fn api_version(&self) -> (u32, u32) {
        (self.api_major, self.api_minor)
    }

    /// The manifest, TOML text.
    pub fn text(&self) -> Option<&'static str> {
        if !self.is_manifest() {
            return None;
        }
        // SAFETY: the macro made pointer and length from a `&'static str` of the library, which
        // is never unloaded.
        let bytes = unsafe { std::slice::from_raw_parts(self.text, self.text_len) };
        std::str::from_utf8(bytes).ok()
    }

    /// The library header, whose layout must be checked before use.
    pub const fn header(&self) -> *const LibHeader {
        self.header
    }
}

/// For the macro: the library header around a constructor.
pub const fn lib_header(constructor: extern "C" fn() -> RootModuleResult) -> LibHeader {
    // SAFETY: the constructors are the macro's own, which return `PluginModuleRef`s.
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(constructor, CheckTypeLayout::Yes) }
}

/// For the macro: the module in the form that the loader expects.
pub fn module_result(module: fn() -> PluginModuleRef) -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(module)
}

/// Exports a type that implements [`Plugin`](crate::Plugin) as the plugin of its cdylib.
///
/// ```
/// # use streamgate_plugin_api::{Host, Plugin, StartError, export_plugin};
/// # struct Hello;
/// # impl Plugin for Hello {
/// #     type Settings = ();
/// #     async fn start(_: Host, (): ()) -> Result<Self, StartError> { Ok(Self) }
/// # }
/// export_plugin! {
///     Hello {
///         name: "hello",
///         description: "Says hello",
///         provides: ["greeting"],
///         requires: ["database"],
///         uses: ["cache"],
///         prefixes: ["/hello"],
///         publishes: ["greeting.*.said"],
///         subscribes: ["content.*.changed"],
///     }
/// }
/// # fn main() {}
/// ```
///
/// Only `name` is required. `requires` are capabilities without which the plugin does not start; `uses` are
/// those which it starts after, if some plugin provides them. The manifest is also the permission list: the
/// plugin may call no other capability, and publish and subscribe to no other subjects (in the syntax of
/// NATS) than those of `publishes` and `subscribes`. `ingress: true` marks a plugin that takes requests from
/// outside for the public prefixes of the others, and states who sent them: it starts last and stops first.
/// `exclusive: true` marks one that must not run twice at the same time, because it holds something
/// exclusively (a locked file, a port): on a swap the old one stops before the new one starts, and requests
/// wait meanwhile. `isolated: true` marks one that handles untrusted data: it runs in its own process, unless
/// the configuration says otherwise.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ident { $($fields:tt)* }) => {
        $crate::__export_plugin! {
            @parse $plugin [] ["" [] [] [] [] [] [] [false] [false] [false]] $($fields)*
        }
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "export_plugin! takes the type that implements Plugin and the fields of its manifest: \
             export_plugin! { MyPlugin { name: \"my-plugin\", prefixes: [\"/mine\"] } }"
        );
    };
}

/// The rest of [`export_plugin!`], field by field.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_plugin {
    (@parse $p:ident [$($n:literal)?] [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        name: $v:literal $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p [$v] [$d $pr $re $us $px $pu $su $in $ex $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        description: $v:literal $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$v $pr $re $us $px $pu $su $in $ex $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        provides: [$($v:literal),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$d [$($v)*] $re $us $px $pu $su $in $ex $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        requires: [$($v:literal),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$d $pr [$($v)*] $us $px $pu $su $in $ex $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        uses: [$($v:literal),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$d $pr $re [$($v)*] $px $pu $su $in $ex $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        prefixes: [$($v:literal),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$d $pr $re $us [$($v)*] $pu $su $in $ex $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        publishes: [$($v:literal),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$d $pr $re $us $px [$($v)*] $su $in $ex $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        subscribes: [$($v:literal),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$d $pr $re $us $px $pu [$($v)*] $in $ex $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        ingress: $v:literal $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$d $pr $re $us $px $pu $su [$v] $ex $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        exclusive: $v:literal $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$d $pr $re $us $px $pu $su $in [$v] $is] $($($rest)*)? }
    };
    (@parse $p:ident $n:tt [$d:literal $pr:tt $re:tt $us:tt $px:tt $pu:tt $su:tt $in:tt $ex:tt $is:tt]
        isolated: $v:literal $(, $($rest:tt)*)?) => {
        $crate::__export_plugin! { @parse $p $n [$d $pr $re $us $px $pu $su $in $ex [$v]] $($($rest)*)? }
    };
    (@parse $p:ident [] $fields:tt) => {
        ::core::compile_error!("export_plugin!: the manifest has no name; add name: \"my-plugin\"");
    };
    (@parse $p:ident [$n:literal] [$d:literal [$($pr:literal)*] [$($re:literal)*] [$($us:literal)*] [$($px:literal)*] [$($pu:literal)*] [$($su:literal)*] [$in:literal] [$ex:literal] [$is:literal]]) => {
        const _: () = {
            const _: () = $crate::manifest::check(
                $n, $d, [&[$($pr),*], &[$($re),*], &[$($us),*]], &[$($px),*], [&[$($pu),*], &[$($su),*]],
            );
            extern "C" fn constructor() -> $crate::__private::RootModuleResult {
                $crate::abi::module_result($crate::__private::module::<$p>)
            }
            static HEADER: $crate::__private::LibHeader = $crate::abi::lib_header(constructor);
            #[unsafe(export_name = ::core::concat!("streamgate_plugin_", $n))]
            pub static MANIFEST: $crate::abi::ManifestBlob = $crate::abi::ManifestBlob::new(
                ::core::concat!(
                    "name = '", $n, "'\n",
                    "version = '", ::core::env!("CARGO_PKG_VERSION"), "'\n",
                    "description = '", $d, "'\n",
                    "provides = [", $("'", $pr, "', ",)* "]\n",
                    "requires = [", $("'", $re, "', ",)* "]\n",
                    "uses = [", $("'", $us, "', ",)* "]\n",
                    "prefixes = [", $("'", $px, "', ",)* "]\n",
                    "publishes = [", $("'", $pu, "', ",)* "]\n",
                    "subscribes = [", $("'", $su, "', ",)* "]\n",
                    "ingress = ", $in, "\n",
                    "exclusive = ", $ex, "\n",
                    "isolated = ", $is, "\n",
                ),
                &HEADER,
            );
        };
    };
    (@parse $p:ident $n:tt $fields:tt $field:ident : $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "export_plugin!: `", ::core::stringify!($field), "` is not a field of the manifest, or its value \
             has another form. The fields are name: \"...\", description: \"...\", provides: [\"...\"], \
             requires: [\"...\"], uses: [\"...\"], prefixes: [\"/...\"], publishes: [\"...\"], \
             subscribes: [\"...\"], ingress: true, exclusive: true and isolated: true"
        ));
    };
    (@parse $p:ident $n:tt $fields:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "export_plugin!: expected `field: value,` but found `", ::core::stringify!($($rest)*), "`"
        ));
    };
}
