//! Sign-in as typed data, EIP-712: the fields of EIP-4361, which a wallet shows one by one. What they
//! may say is what a message may say; only the digest that is signed is another one.

use alloy_primitives::{B256, U256};
use alloy_sol_types::{SolStruct as _, eip712_domain};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::sign_in::siwe::{self, Message};

mod solidity {
    alloy_sol_types::sol! {
        struct SignIn {
            string domain;
            address address;
            string statement;
            string uri;
            uint256 chainId;
            string nonce;
            string issuedAt;
            string expirationTime;
        }
    }
}

/// The name of the EIP-712 domain.
const NAME: &str = "StreamGate";
/// Its version, and that of the type below.
const VERSION: &str = "1";

/// What is signed, as `message` of `eth_signTypedData_v4` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SignIn {
    domain: String,
    address: String,
    /// Empty: none.
    statement: String,
    uri: String,
    chain_id: u64,
    nonce: String,
    issued_at: String,
    expiration_time: String,
}

impl SignIn {
    /// The same as a message of EIP-4361 says.
    pub(crate) fn of(message: &Message) -> Self {
        Self {
            domain: message.domain.clone(),
            address: message.address_text.clone(),
            statement: message.statement.clone().unwrap_or_default(),
            uri: message.uri.clone(),
            chain_id: message.chain_id,
            nonce: message.nonce.clone(),
            issued_at: message.issued_at.clone(),
            expiration_time: message.expiration_time.clone().unwrap_or_default(),
        }
    }

    /// The message of EIP-4361 that says the same.
    ///
    /// # Errors
    /// When there is none, in words.
    pub(crate) fn message(&self) -> Result<Message, String> {
        let message = Message {
            scheme: None,
            domain: self.domain.clone(),
            address: siwe::address(&self.address)?,
            address_text: self.address.clone(),
            statement: Some(self.statement.clone()).filter(|statement| !statement.is_empty()),
            uri: self.uri.clone(),
            chain_id: self.chain_id,
            chain_text: self.chain_id.to_string(),
            nonce: self.nonce.clone(),
            issued_at: self.issued_at.clone(),
            expiration_time: Some(self.expiration_time.clone()),
            not_before: None,
            request_id: None,
            resources: None,
        };
        // Whatever could not stand in such a message, a line feed or a time that is none, is found so.
        match Message::parse(&message.to_string()) {
            Ok(read) if read == message => Ok(message),
            Ok(_) => Err("a field holds more than it may".into()),
            Err(reason) => Err(reason),
        }
    }

    /// What a wallet signs: EIP-712 §"Specification", `hashStruct` of this in our domain.
    ///
    /// # Errors
    /// When the address is none.
    pub(crate) fn digest(&self) -> Result<B256, String> {
        let domain = eip712_domain! { name: NAME, version: VERSION, chain_id: self.chain_id, };
        let signed = solidity::SignIn {
            domain: self.domain.clone(),
            address: siwe::address(&self.address)?,
            statement: self.statement.clone(),
            uri: self.uri.clone(),
            chainId: U256::from(self.chain_id),
            nonce: self.nonce.clone(),
            issuedAt: self.issued_at.clone(),
            expirationTime: self.expiration_time.clone(),
        };
        Ok(signed.eip712_signing_hash(&domain))
    }

    /// What `eth_signTypedData_v4` takes.
    pub(crate) fn request(&self) -> Value {
        let fields = |fields: &[(&str, &str)]| -> Value {
            fields.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect()
        };
        json!({
            "types": {
                "EIP712Domain": fields(&[("name", "string"), ("version", "string"), ("chainId", "uint256")]),
                "SignIn": fields(&[
                    ("domain", "string"),
                    ("address", "address"),
                    ("statement", "string"),
                    ("uri", "string"),
                    ("chainId", "uint256"),
                    ("nonce", "string"),
                    ("issuedAt", "string"),
                    ("expirationTime", "string"),
                ]),
            },
            "primaryType": "SignIn",
            "domain": { "name": NAME, "version": VERSION, "chainId": self.chain_id },
            "message": self,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::hex;
    use k256::ecdsa::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::sign_in::signature;

    fn example() -> SignIn {
        SignIn {
            domain: "video.example.org".into(),
            address: "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1".into(),
            statement: "Sign in to StreamGate.".into(),
            uri: "https://video.example.org".into(),
            chain_id: 137,
            nonce: "0123456789abcdef0123456789abcdef".into(),
            issued_at: "2026-01-01T00:00:00.000Z".into(),
            expiration_time: "2026-01-01T00:05:00.000Z".into(),
        }
    }

    #[test]
    fn the_digest_and_the_signature_are_those_of_ethers() {
        // ethers 6.17, `Wallet(0x0101…01).signTypedData` of the request below.
        let digest = hex!("8ba0df696d23529948f1e39dfc0d3bb08dec95cede565f39a8a4e1fa59ddd6e0");
        let signed = hex!(
            "a6acb72f2ee7f355ddff8ca3f0e4ffb41ecf704137ec814a1f63d603d7946b905f6e5c95eaf312a827ead60f6bb1de63e69c294058ac629b4ac1f485b0886e001c"
        );
        assert_eq!(example().digest().unwrap(), digest);
        let signer = signature::recover(&digest.into(), &signed).unwrap();
        assert_eq!(signer.to_checksum(None), example().address);
        assert_eq!(example().message().unwrap().address, signer);
    }

    #[test]
    fn the_request_names_the_types_that_are_hashed() {
        let request = example().request();
        let fields: Vec<_> = request["types"]["SignIn"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| format!("{} {}", field["type"].as_str().unwrap(), field["name"].as_str().unwrap()))
            .collect();
        assert_eq!(format!("SignIn({})", fields.join(",")), solidity::SignIn::eip712_encode_type());
        let message: SignIn = serde_json::from_value(request["message"].clone()).unwrap();
        assert_eq!(message, example());
    }

    #[test]
    fn what_could_not_stand_in_a_message_of_eip_4361_is_refused() {
        assert_eq!(SignIn::of(&example().message().unwrap()), example());
        assert!(SignIn { statement: String::new(), ..example() }.message().is_ok());
        for wrong in [
            SignIn { statement: "one\ntwo".into(), ..example() },
            SignIn { statement: "tab\t".into(), ..example() },
            SignIn { uri: "https://a.example\nVersion: 1".into(), ..example() },
            SignIn { nonce: "short".into(), ..example() },
            SignIn { nonce: "0123456789abcdef\nIssued At: x".into(), ..example() },
            SignIn { issued_at: "soon".into(), ..example() },
            SignIn { expiration_time: String::new(), ..example() },
            SignIn { expiration_time: "2026-01-01T00:05:00.000Z\nRequest ID: 1".into(), ..example() },
            SignIn { domain: "a b".into(), ..example() },
            SignIn { domain: "https://video.example.org".into(), ..example() },
            SignIn { address: "0x1A642f0E3c3aF545E7AcBD38b07251B3990914F1".into(), ..example() },
            SignIn { address: "vitalik.eth".into(), ..example() },
            SignIn { statement: "x".repeat(siwe::MAX_BYTES), ..example() },
        ] {
            assert!(wrong.message().is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_changed_changes_the_digest(field in 0_usize..7, text in "[a-z0-9]{1,20}", chain: u64) {
            let mut changed = example();
            let fields = [
                &mut changed.domain,
                &mut changed.statement,
                &mut changed.uri,
                &mut changed.nonce,
                &mut changed.issued_at,
                &mut changed.expiration_time,
            ];
            match fields.into_iter().nth(field) {
                Some(field) => *field = text,
                None => changed.chain_id = chain,
            }
            prop_assume!(changed != example());
            prop_assert_ne!(changed.digest(), example().digest());
        }
    }

    #[test]
    fn a_text_that_was_signed_is_no_typed_data() {
        let key = SigningKey::from_slice(&[1; 32]).unwrap();
        let hash = alloy_primitives::eip191_hash_message(example().message().unwrap().to_string());
        let (signed, parity) = key.sign_prehash_recoverable(hash.as_slice()).unwrap();
        let signed = alloy_primitives::Signature::from((signed, parity)).as_bytes();
        let signer = signature::recover(&example().digest().unwrap(), &signed).unwrap();
        assert_ne!(signer.to_checksum(None), example().address);
    }
}
