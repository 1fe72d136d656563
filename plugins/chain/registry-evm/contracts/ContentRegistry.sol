// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// What the contents of a server are, and whose. An entry is an ERC-721 token, so that wallets show
/// it and hand it on; the token's number is the content's UUID.
///
/// The server registers, so that nobody takes a name before it. From then on the entry is its
/// owner's: the server changes nothing in it, unless the owner approved it as ERC-721 has it.
contract ContentRegistry is ERC721, Ownable {
    /// An entry was made or changed. Whose it is, is told by `Transfer`.
    event ContentSet(bytes16 indexed id, bytes cid, bytes32 policy, string policyURI);

    /// A CID or a hash of the content: 1 to 128 bytes.
    error CidLength(uint256 length);
    /// The URI of a policy has at most 512 bytes.
    error PolicyURILength(uint256 length);

    struct Content {
        bytes cid;
        bytes32 policy;
        string policyURI;
    }

    mapping(bytes16 id => Content) private contents;

    constructor(address server) ERC721("StreamGate Content", "SGC") Ownable(server) {}

    /// Makes an entry for `owner`. Reverts when there is one.
    function register(bytes16 id, address owner, bytes calldata cid, bytes32 policy, string calldata policyURI)
        external
        onlyOwner
    {
        _mint(owner, token(id));
        set(id, cid, policy, policyURI);
    }

    /// Changes an entry; its owner does, or whom the owner approved.
    function update(bytes16 id, bytes calldata cid, bytes32 policy, string calldata policyURI) external {
        _checkAuthorized(ownerOf(token(id)), msg.sender, token(id));
        set(id, cid, policy, policyURI);
    }

    /// The entry of a content, and whose it is. Reverts when there is none.
    function content(bytes16 id) external view returns (address owner, Content memory entry) {
        return (ownerOf(token(id)), contents[id]);
    }

    /// The number of a content's token.
    function token(bytes16 id) public pure returns (uint256) {
        return uint128(id);
    }

    function set(bytes16 id, bytes calldata cid, bytes32 policy, string calldata policyURI) private {
        require(cid.length > 0 && cid.length <= 128, CidLength(cid.length));
        require(bytes(policyURI).length <= 512, PolicyURILength(bytes(policyURI).length));
        contents[id] = Content(cid, policy, policyURI);
        emit ContentSet(id, cid, policy, policyURI);
    }
}
