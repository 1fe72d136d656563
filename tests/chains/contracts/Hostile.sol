// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

// Contracts that try to pass for something else.

bytes4 constant MAGIC = 0x1626ba7e;

// A wallet that says a signature is its own in many ways but the right one.
contract LoudWallet {
    uint256 private immutable how;

    constructor(uint256 how_) {
        how = how_;
    }

    fallback() external {
        bytes memory said = abi.encode(MAGIC);
        if (how == 0) revert("no");
        // The magic value as what it reverts with.
        if (how == 1) assembly { revert(add(said, 32), 32) }
        // More than the magic value, or less.
        if (how == 2) said = abi.encode(MAGIC, MAGIC);
        if (how == 3) said = abi.encodePacked(MAGIC);
        if (how == 4) said = abi.encodePacked(MAGIC, new bytes(40_000));
        if (how == 5) said = abi.encode(true);
        // The magic value as a number, and in two cases of other standards.
        if (how == 6) said = abi.encode(uint256(uint32(MAGIC)));
        if (how == 7) said = abi.encode(bytes4(0x20c13b0b));
        if (how == 8) said = abi.encode(bytes4(0x150b7a02));
        // What it was called with.
        if (how == 9) said = msg.data;
        if (how == 10) assembly { invalid() }
        if (how == 11) said = "";
        assembly { return(add(said, 32), mload(said)) }
    }
}

// A wallet that knows its signatures in one block only.
contract FickleWallet {
    uint256 private immutable when;

    constructor(uint256 when_) {
        when = when_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        return block.number == when ? MAGIC : bytes4(0xffffffff);
    }
}

// Deploys nothing, and answers as a wallet would.
contract HostileFactory {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return MAGIC;
    }

    function deploy(uint256 how) external returns (bytes4) {
        if (how == 0) revert("no");
        if (how == 1) while (true) {}
        if (how == 2) selfdestruct(payable(msg.sender));
        if (how == 3) new FickleWallet(block.number);
        return MAGIC;
    }
}

// Answers every call with words of one value: to whoever asks, it owns everything.
contract Yes {
    uint256 private immutable value;
    uint256 private immutable words;

    constructor(uint256 value_, uint256 words_) {
        value = value_;
        words = words_;
    }

    fallback() external {
        uint256 said = value;
        uint256 length = words * 32;
        assembly {
            for { let at := 0 } lt(at, length) { at := add(at, 32) } { mstore(at, said) }
            return(0, length)
        }
    }
}

// A token behind a proxy, whose owner may change what it is.
contract Proxy {
    address private code;

    constructor(address code_) {
        code = code_;
    }

    function upgrade(address code_) external {
        code = code_;
    }

    fallback() external {
        address to = code;
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), to, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if done { return(0, returndatasize()) }
            revert(0, returndatasize())
        }
    }
}
