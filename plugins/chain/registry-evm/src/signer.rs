//! The key of the server's account, and EIP-1559 transactions signed with it. The key is read from a file
//! that only its owner may read, and is never written or shown anywhere.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, Signature, U256, hex, keccak256};
use alloy_rlp::Encodable as _;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use k256::ecdsa::{RecoveryId, SigningKey};

/// Maximum size of a key file.
const MAX_FILE: u64 = 256;
/// The type of a transaction, EIP-1559.
const TYPE: u8 = 2;

/// The maximum fee of a unit of gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fees {
    /// In total.
    pub(crate) most: u128,
    /// For the block's proposer; part of `most`.
    pub(crate) priority: u128,
}

/// An unsigned transaction. It transfers no coins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsigned {
    pub(crate) chain: u64,
    pub(crate) nonce: u64,
    pub(crate) fees: Fees,
    pub(crate) gas: u64,
    pub(crate) to: Address,
    pub(crate) data: Bytes,
}

/// A signed transaction in raw form, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) hash: B256,
    pub(crate) raw: Bytes,
}

/// The key of an account.
pub(crate) struct Signer {
    key: SigningKey,
    pub(crate) address: Address,
}

impl Signer {
    /// The key in a file: 32 bytes in hexadecimal, with or without `0x`.
    ///
    /// # Errors
    /// The problem of the file; its content is not in the message.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let named = |what: &dyn std::fmt::Display| format!("signer_file {}: {what}", path.display());
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => named(&format_args!(
                "{error}; the plugin's process may read only its own data directory and the paths of `process.read`"
            )),
            _ => named(&error),
        })?;
        let facts = file.metadata().map_err(|error| named(&error))?;
        let mode = facts.permissions().mode() & 0o777;
        if !facts.is_file() {
            return Err(named(&"it is not a file"));
        }
        if mode & 0o077 != 0 {
            return Err(named(&format_args!(
                "others than its owner may read it (mode {mode:03o}); whoever could may have the key: move \
                 what the account holds to a new one, and `chmod 600` its file"
            )));
        }
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| named(&error))?;
        let digits = text.trim();
        let bytes = hex::decode(digits).ok().filter(|bytes| bytes.len() == 32);
        let key = bytes.and_then(|bytes| SigningKey::from_slice(&bytes).ok());
        let key = key.ok_or_else(|| named(&"it contains no private key of 64 hexadecimal digits"))?;
        let point = key.verifying_key().to_sec1_point(false);
        // After the tag of an uncompressed point.
        Ok(Self { address: Address::from_raw_public_key(&point.as_bytes()[1..]), key })
    }

    /// Signs a transaction. The same one gets the same signature each time (RFC 6979).
    ///
    /// # Errors
    /// If the key cannot sign, which should not happen.
    pub(crate) fn sign(&self, transaction: &Unsigned) -> Result<Signed, k256::ecdsa::Error> {
        let digest = keccak256(encode(transaction, None));
        let (signature, recovery): (k256::ecdsa::Signature, RecoveryId) =
            self.key.sign_prehash(digest.as_slice())?;
        let signature = Signature::from_bytes_and_parity(&signature.to_bytes(), recovery.is_y_odd());
        let raw: Bytes = encode(transaction, Some(&signature)).into();
        Ok(Signed { hash: keccak256(&raw), raw })
    }
}

/// EIP-1559: the type, and then an RLP list, of which the signature is the end.
fn encode(transaction: &Unsigned, signature: Option<&Signature>) -> Vec<u8> {
    let Unsigned { chain, nonce, fees, gas, to, data } = transaction;
    let mut fields = Vec::new();
    chain.encode(&mut fields);
    nonce.encode(&mut fields);
    fees.priority.encode(&mut fields);
    fees.most.encode(&mut fields);
    gas.encode(&mut fields);
    to.encode(&mut fields);
    U256::ZERO.encode(&mut fields);
    data.encode(&mut fields);
    // No access list.
    fields.push(alloy_rlp::EMPTY_LIST_CODE);
    if let Some(signature) = signature {
        signature.v().encode(&mut fields);
        signature.r().encode(&mut fields);
        signature.s().encode(&mut fields);
    }
    let mut out = vec![TYPE];
    alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut out);
    out.extend(fields);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k256::ecdsa::VerifyingKey;
    use std::fs;

    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    fn written(text: &str, mode: u32) -> Result<Signer, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Signer::read(&path)
    }

    #[test]
    fn a_key_is_read_from_a_file_that_its_owner_alone_may_read_and_is_in_no_message() {
        for text in [KEY.to_owned(), format!("0x{KEY}\n")] {
            let signer = written(&text, 0o600).ok().unwrap();
            assert_eq!(signer.address.to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        }
        assert!(written(KEY, 0o400).is_ok());
        let refused =
            [(KEY, 0o640), (KEY, 0o604), (&KEY[2..], 0o600), (&"0".repeat(64), 0o600), ("no key", 0o600)];
        for (text, mode) in refused {
            let error = written(text, mode).err().unwrap();
            assert!(!error.contains(&text[..6]) && error.contains("signer_file"), "{error}");
        }
    }

    #[test]
    fn a_signed_transaction_is_the_one_that_others_make_of_it() {
        let signer = written(KEY, 0o600).ok().unwrap();
        let transaction = Unsigned {
            chain: 31337,
            nonce: 7,
            fees: Fees { most: 3_000_000_000, priority: 1_000_000_000 },
            gas: 100_000,
            to: Address::repeat_byte(0x11),
            data: Bytes::from_static(&[1, 2, 3]),
        };
        let signed = signer.sign(&transaction).unwrap();
        assert_eq!(signer.sign(&transaction).unwrap(), signed);
        assert_eq!(signed.raw[0], 2);
        let digest = keccak256(encode(&transaction, None));
        let (signature, recovery) = signer.key.sign_prehash_recoverable(digest.as_slice());
        let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &signature, recovery).unwrap();
        let point = key.to_sec1_point(false);
        assert_eq!(Address::from_raw_public_key(&point.as_bytes()[1..]), signer.address);
        // Signed by `eth-account` 0.13.
        assert_eq!(
            signed.hash.to_string(),
            "0x10c1334f999643149501043b58d48613b7d8e3e1c6b3c13dbd7015f04fa89fa7"
        );
    }
}
