//! The table of plugins: each turns a URI into a device. Listing, completion, error hints and docs come from it.

pub mod file;
pub mod malloc;
pub mod rap;

use super::{Device, Open};
use crate::error::{Error, Kind, Result};
use crate::uri::Uri;

/// A way to open URIs.
pub struct Plugin {
    /// Short name for `oL`.
    pub name: &'static str,
    /// Schemes it claims, without `://`. The file plugin also takes plain paths.
    pub schemes: &'static [&'static str],
    /// One line for `oL` and the docs.
    pub summary: &'static str,
    /// A URI that shows the form.
    pub example: &'static str,
    /// Whether its devices can be written.
    pub writes: bool,
    /// Opens a URI.
    pub open: fn(&Uri, &Open) -> Result<Box<dyn Device>>,
}

/// Every plugin. Plain paths go to the first.
pub const PLUGINS: &[&Plugin] = &[&file::PLUGIN, &malloc::PLUGIN, &rap::PLUGIN];

/// The plugin that claims `scheme`.
pub fn find(scheme: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().copied().find(|plugin| plugin.schemes.contains(&scheme))
}

/// Opens `uri` with the plugin that claims its scheme.
pub fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    let plugin = match uri.scheme() {
        None => PLUGINS[0],
        Some(scheme) => find(scheme).ok_or_else(|| {
            let known: Vec<&str> = PLUGINS.iter().flat_map(|plugin| plugin.schemes.iter().copied()).collect();
            Error::new(Kind::UnknownScheme, format!("cannot open '{uri}': unknown scheme '{scheme}'"))
                .hint(format!("known: {}", known.join(", ")))
        })?,
    };
    (plugin.open)(uri, open).map_err(|e| e.context(format_args!("cannot open '{uri}'")))
}
