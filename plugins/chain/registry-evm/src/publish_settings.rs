//! The checks of the settings of automatic registration.

use streamgate_plugin_api::settings::{Duration, SettingsProblem};

use crate::settings::Chain;

/// The placeholder of a content's id in `policy_uri`.
pub(crate) const ID: &str = "{id}";
/// An address of a policy has at most 512 bytes, with an id of 36.
const MAX_POLICY_URI: usize = 512 - 36;

impl Chain {
    /// The problems of automatic registration. `key` makes the whole key of a field.
    pub(crate) fn publish_problems(&self, key: impl Fn(&str) -> String) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        let mut say = |field: &str, message: String| problems.push(SettingsProblem::new(key(field), message));
        if self.publish && self.signer_file.is_none() {
            say("publish", "without a `signer_file` nothing can be registered".into());
        }
        if let Some(uri) = &self.policy_uri {
            let whole = uri.contains(ID) && uri.bytes().all(|byte| byte.is_ascii_graphic());
            if !whole || uri.len() > MAX_POLICY_URI {
                let example = "https://video.example.org/api/v1/access/contents/{id}";
                say(
                    "policy_uri",
                    format!("{uri:.80} is not an address with `{ID}` in it, such as {example}"),
                );
            }
        }
        let most = Duration::secs(30 * 24 * 3600);
        if self.publish_pause > most {
            say("publish_pause", format!("{} is more than {most}", self.publish_pause));
        }
        problems
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const REGISTRY: &str = "eip155:1:0x00000000000000000000000000000000000000aa";

    fn keys(more: Value) -> Vec<String> {
        let mut chain = json!({ "registry": REGISTRY });
        chain.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let chain: Chain = serde_json::from_value(chain).unwrap();
        chain.publish_problems(str::to_owned).into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn nothing_is_published_without_a_registry_and_a_key() {
        let uri = "https://video.example.org/{id}";
        assert!(keys(json!({})).is_empty());
        let whole = json!({ "publish": true, "signer_file": "k", "policy_uri": uri });
        assert!(keys(whole).is_empty());
        assert_eq!(keys(json!({ "publish": true })), ["publish"]);
        let without = json!({ "publish": true, "signer_file": "k" });
        assert!(serde_json::from_value::<Chain>(without).unwrap_err().to_string().contains("registry"));
        for wrong in ["https://video.example.org/", "https://video.example.org/{id} x", ""] {
            assert_eq!(keys(json!({ "policy_uri": wrong })), ["policy_uri"], "{wrong}");
        }
        assert_eq!(keys(json!({ "policy_uri": format!("{uri}{}", "x".repeat(512)) })), ["policy_uri"]);
        assert_eq!(keys(json!({ "publish_pause": "31d" })), ["publish_pause"]);
    }
}
