// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

// A contract wallet that one key signs for.
contract Wallet is IERC1271 {
    address private immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address signer, , ) = ECDSA.tryRecover(digest, signature);
        return signer == owner ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

// Deploys wallets where their owner can know them before.
contract WalletFactory {
    function deploy(address owner) external returns (address) {
        return Create2.deploy(0, 0, code(owner));
    }

    function at(address owner) external view returns (address) {
        return Create2.computeAddress(0, keccak256(code(owner)));
    }

    function code(address owner) private pure returns (bytes memory) {
        return abi.encodePacked(type(Wallet).creationCode, abi.encode(owner));
    }
}

// Contracts that must not pass for wallets.
contract OddWallet {
    // The magic value with dirt behind it.
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes32) {
        return bytes32(uint256(bytes32(bytes4(0x1626ba7e))) | 1);
    }
}

contract EndlessWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        while (true) {}
        return 0x1626ba7e;
    }
}

// Asked for a balance, it hands over a ticket of another collection first.
contract Thief {
    function balanceOf(address who) external returns (uint256) {
        IERC721 tickets = IERC721(ticket);
        if (tickets.ownerOf(9) == address(this)) tickets.transferFrom(address(this), who, 9);
        return 1;
    }

    address private immutable ticket;

    constructor(address ticket_) {
        ticket = ticket_;
    }
}
