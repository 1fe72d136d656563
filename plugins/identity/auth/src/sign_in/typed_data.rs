//! Sign-in as typed data, EIP-712: the fields of EIP-4361, which a wallet shows one by one. The same rules
//! apply as for a message; only the signed digest differs.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamgate_contracts::ethereum::{Hash, keccak256};

use crate::sign_in::siwe::{self, Message};

/// The fields of the EIP-712 domain, each with its type.
const DOMAIN: [(&str, &str); 3] = [("name", "string"), ("version", "string"), ("chainId", "uint256")];
/// The fields of the signed struct.
const SIGN_IN: [(&str, &str); 8] = [
    ("domain", "string"),
    ("address", "address"),
    ("statement", "string"),
    ("uri", "string"),
    ("chainId", "uint256"),
    ("nonce", "string"),
    ("issuedAt", "string"),
    ("expirationTime", "string"),
];
/// The name of the EIP-712 domain.
const NAME: &str = "StreamGate";
/// Its version, and that of the type below.
const VERSION: &str = "1";

/// The signed struct, in the form of `message` of `eth_signTypedData_v4`.
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
    /// From an EIP-4361 message with the same content.
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

    /// The EIP-4361 message with the same content.
    ///
    /// # Errors
    /// If there is none, as text.
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
        // Anything invalid in such a message, a line feed or an invalid time, is found so.
        match Message::parse(&message.to_string()) {
            Ok(read) if read == message => Ok(message),
            Ok(_) => Err("a field contains invalid characters".into()),
            Err(reason) => Err(reason),
        }
    }

    /// The digest that a wallet signs: EIP-712 §"Specification", `hashStruct` of this in our domain.
    ///
    /// # Errors
    /// If the address is invalid.
    pub(crate) fn digest(&self) -> Result<Hash, String> {
        let (address, chain_id) = (siwe::address(&self.address)?.word(), number(self.chain_id));
        let domain = hash_struct("EIP712Domain", &DOMAIN, &[keccak256(NAME), keccak256(VERSION), chain_id]);
        let message = [
            keccak256(&self.domain),
            address,
            keccak256(&self.statement),
            keccak256(&self.uri),
            chain_id,
            keccak256(&self.nonce),
            keccak256(&self.issued_at),
            keccak256(&self.expiration_time),
        ];
        let message = hash_struct("SignIn", &SIGN_IN, &message);
        Ok(keccak256([&b"\x19\x01"[..], &domain, &message].concat()))
    }

    /// The argument of `eth_signTypedData_v4`.
    pub(crate) fn request(&self) -> Value {
        let fields = |fields: &[(&str, &str)]| -> Value {
            fields.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect()
        };
        json!({
            "types": {
                "EIP712Domain": fields(&DOMAIN),
                "SignIn": fields(&SIGN_IN),
            },
            "primaryType": "SignIn",
            "domain": { "name": NAME, "version": VERSION, "chainId": self.chain_id },
            "message": self,
        })
    }
}

/// EIP-712, `hashStruct` of flat fields with these words.
fn hash_struct(name: &str, fields: &[(&str, &str)], words: &[Hash]) -> Hash {
    let fields: Vec<_> = fields.iter().map(|(name, kind)| format!("{kind} {name}")).collect();
    let kind = keccak256(format!("{name}({})", fields.join(",")));
    keccak256([&[kind][..], words].concat().concat())
}

/// A number as a word of the ABI.
fn number(number: u64) -> Hash {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    word
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::{U256, hex};
    use alloy_sol_types::{SolStruct as _, eip712_domain};
    use k256::ecdsa::SigningKey;
    use proptest::prelude::*;

    use streamgate_contracts::ethereum::message_hash;

    use super::*;
    use crate::sign_in::signature;

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
        let signer = signature::recover(&digest, &signed).unwrap();
        assert_eq!(signer.to_string(), example().address);
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

        #[test]
        fn the_digest_is_that_of_another_implementation(
            address: [u8; 20], domain: String, statement: String, chain_id: u64, nonce: String, issued_at: String,
        ) {
            let address = alloy_primitives::Address::from(address);
            let uri = format!("https://{domain}");
            let signed = SignIn {
                domain, address: address.to_checksum(None), statement, uri, chain_id, nonce,
                expiration_time: issued_at.clone(), issued_at,
            };
            let SignIn { domain, statement, uri, nonce, issued_at, expiration_time, .. } = signed.clone();
            let theirs = solidity::SignIn {
                domain, address, statement, uri, chainId: U256::from(chain_id), nonce,
                issuedAt: issued_at, expirationTime: expiration_time,
            };
            let domain = eip712_domain! { name: NAME, version: VERSION, chain_id: chain_id, };
            prop_assert_eq!(signed.digest().unwrap(), theirs.eip712_signing_hash(&domain).0);
        }
    }

    #[test]
    fn a_text_that_was_signed_is_no_typed_data() {
        let key = SigningKey::from_slice(&[1; 32]).unwrap();
        let hash = message_hash(&example().message().unwrap().to_string());
        let (signed, recovery) = key.sign_prehash_recoverable(&hash);
        let signed = [&signed.to_bytes()[..], &[recovery.to_byte()]].concat();
        let signer = signature::recover(&example().digest().unwrap(), &signed).unwrap();
        assert_ne!(signer.to_string(), example().address);
    }
}
