// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

// In place of the delegate.xyz v2 registry (0x0000…d493), by its public interface: what is delegated
// to whom, asked about and listed. Amounts of ERC-20 and ERC-1155 cannot be delegated here.
contract Delegations {
    enum DelegationType {
        NONE,
        ALL,
        CONTRACT,
        ERC721,
        ERC20,
        ERC1155
    }

    struct Delegation {
        DelegationType type_;
        address to;
        address from;
        bytes32 rights;
        address contract_;
        uint256 tokenId;
        uint256 amount;
    }

    mapping(bytes32 => bool) private enabled;
    // Everything that was ever delegated to somebody, in the order in which it first was.
    mapping(address => Delegation[]) private incoming;
    mapping(bytes32 => bool) private listed;

    function delegateAll(address to, bytes32 rights, bool enable) external payable returns (bytes32) {
        return set(Delegation(DelegationType.ALL, to, msg.sender, rights, address(0), 0, 0), enable);
    }

    function delegateContract(address to, address contract_, bytes32 rights, bool enable) external payable returns (bytes32) {
        return set(Delegation(DelegationType.CONTRACT, to, msg.sender, rights, contract_, 0, 0), enable);
    }

    function delegateERC721(address to, address contract_, uint256 tokenId, bytes32 rights, bool enable) external payable returns (bytes32) {
        return set(Delegation(DelegationType.ERC721, to, msg.sender, rights, contract_, tokenId, 0), enable);
    }

    function checkDelegateForAll(address to, address from, bytes32 rights) public view returns (bool) {
        return given(Delegation(DelegationType.ALL, to, from, rights, address(0), 0, 0));
    }

    function checkDelegateForContract(address to, address from, address contract_, bytes32 rights) public view returns (bool) {
        return checkDelegateForAll(to, from, rights) || given(Delegation(DelegationType.CONTRACT, to, from, rights, contract_, 0, 0));
    }

    function checkDelegateForERC721(address to, address from, address contract_, uint256 tokenId, bytes32 rights) external view returns (bool) {
        return checkDelegateForContract(to, from, contract_, rights)
            || given(Delegation(DelegationType.ERC721, to, from, rights, contract_, tokenId, 0));
    }

    function getIncomingDelegations(address to) external view returns (Delegation[] memory found) {
        Delegation[] storage all = incoming[to];
        uint256 count = 0;
        for (uint256 i = 0; i < all.length; i++) {
            if (enabled[id(all[i])]) count++;
        }
        found = new Delegation[](count);
        for (uint256 i = all.length; i > 0; i--) {
            if (enabled[id(all[i - 1])]) found[--count] = all[i - 1];
        }
    }

    function set(Delegation memory what, bool enable) private returns (bytes32 key) {
        key = id(what);
        enabled[key] = enable;
        if (!listed[key]) incoming[what.to].push(what);
        listed[key] = true;
    }

    // Who has been given all rights has each of them.
    function given(Delegation memory what) private view returns (bool) {
        if (enabled[id(what)]) return true;
        what.rights = "";
        return enabled[id(what)];
    }

    function id(Delegation memory what) private pure returns (bytes32) {
        return keccak256(abi.encode(what));
    }
}
