//! Calling a wallet after preparing it (EIP-6492), in one simulated call: code that is sent along prepares it
//! and calls it, so the chain needs no contract of ours. Nothing of it persists.

use alloy_primitives::{Address, Bytes, address};

use crate::endpoint::Outcome;

/// The sender of the simulation. Not the zero address, which is the sender of calls without one: contracts
/// that let those pass, because only gas estimates have it, would accept anyone's signature.
pub(crate) const SENDER: Address = address!("5715ea3a7e000000000000000000000000000000");
/// Where arguments are in memory: after the returned data.
const ARGUMENTS: u8 = 0x60;
/// Success, length of the answer, and its first word.
const ANSWER: usize = 0x60;

const CALL: u8 = 0xf1;
pub(crate) const STATICCALL: u8 = 0xfa;
pub(crate) const CODECOPY: u8 = 0x39;
pub(crate) const MSTORE: u8 = 0x52;
pub(crate) const RETURNDATASIZE: u8 = 0x3d;
const GAS: u8 = 0x5a;
const POP: u8 = 0x50;
pub(crate) const RETURN: u8 = 0xf3;

/// Code in place of a new contract's: it makes the first call, whatever its result, makes the second one,
/// which may change nothing, and returns its result.
pub(crate) fn code((factory, prepare): &(Address, Bytes), (wallet, question): &(Address, Bytes)) -> Bytes {
    let length = program(0, (factory, prepare.len()), (wallet, question.len())).len();
    let program = program(length, (factory, prepare.len()), (wallet, question.len()));
    [&program, &prepare[..], question].concat().into()
}

fn program(length: usize, first: (&Address, usize), second: (&Address, usize)) -> Vec<u8> {
    let mut code = Vec::new();
    copy(&mut code, length, first.1);
    // None of its answer is kept, and no value is sent.
    byte(&mut code, 0);
    byte(&mut code, 0);
    arguments(&mut code, first.1);
    byte(&mut code, 0);
    account(&mut code, first.0);
    code.extend([GAS, CALL, POP]);
    copy(&mut code, length + first.1, second.1);
    byte(&mut code, 0x20);
    byte(&mut code, 0x40);
    arguments(&mut code, second.1);
    account(&mut code, second.0);
    code.extend([GAS, STATICCALL]);
    byte(&mut code, 0);
    code.extend([MSTORE, RETURNDATASIZE]);
    byte(&mut code, 0x20);
    code.push(MSTORE);
    byte(&mut code, ANSWER as u8);
    byte(&mut code, 0);
    code.push(RETURN);
    code
}

/// PUSH1.
fn byte(code: &mut Vec<u8>, value: u8) {
    code.extend([0x60, value]);
}

/// PUSH4; always four bytes, so that the program's length does not depend on where its data is.
pub(crate) fn number(code: &mut Vec<u8>, value: usize) {
    code.push(0x63);
    code.extend(u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes());
}

/// PUSH20.
pub(crate) fn account(code: &mut Vec<u8>, address: &Address) {
    code.push(0x73);
    code.extend(address.as_slice());
}

/// Copies arguments out of the code.
fn copy(code: &mut Vec<u8>, from: usize, length: usize) {
    number(code, length);
    number(code, from);
    byte(code, ARGUMENTS);
    code.push(CODECOPY);
}

fn arguments(code: &mut Vec<u8>, length: usize) {
    number(code, length);
    byte(code, ARGUMENTS);
}

/// The result of the second call; `None` if it is not an answer of such code.
pub(crate) fn said(answer: &[u8]) -> Option<Outcome> {
    let (head, word) = (answer.len() == ANSWER).then(|| answer.split_at(0x40))?;
    let (done, length) = head.split_at(0x20);
    let length = usize::from_be_bytes(*length.last_chunk()?);
    Some(match done.last()? {
        0 => Outcome::Reverted(Bytes::new()),
        _ => Outcome::Returned(word.to_vec().into(), length),
    })
}
