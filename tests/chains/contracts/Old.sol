// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

// Tokens from before the standards, and what passes for one.

// The first coins have names of one word; and this one, as many from before, uses up all of its gas
// when it is called with a function that it does not have.
contract OldCoin {
    bytes32 public constant name = "Maker";
    bytes32 public constant symbol = "MKR";
    uint8 public constant decimals = 18;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
        totalSupply += amount;
    }

    function allowance(address, address) external pure returns (uint256) {
        return 0;
    }

    fallback() external {
        assembly { invalid() }
    }
}

// A collection without ERC-165. A token that is not there is refused without a word.
contract OldNft {
    mapping(uint256 => address) private owners;
    mapping(address => uint256) public balanceOf;

    event Transfer(address from, address to, uint256 tokenId);

    function ownerOf(uint256 id) external view returns (address owner) {
        owner = owners[id];
        require(owner != address(0));
    }

    function mint(address to, uint256 id) external {
        owners[id] = to;
        balanceOf[to]++;
        emit Transfer(address(0), to, id);
    }

    function give(address to, uint256 id) external {
        address from = owners[id];
        owners[id] = to;
        balanceOf[from]--;
        balanceOf[to]++;
        emit Transfer(from, to, id);
    }

    function burn(uint256 id) external {
        balanceOf[owners[id]]--;
        delete owners[id];
    }
}

// As CryptoPunks: a collection with a few functions of an ERC-20, among them an event of an amount,
// which does not say which token it was.
contract OldPunks {
    string public constant name = "PUNKS";
    uint8 public constant decimals = 0;
    uint256 public constant totalSupply = 10_000;
    mapping(uint256 => address) public punkIndexToAddress;
    mapping(address => uint256) public balanceOf;

    event Assign(address indexed to, uint256 punkIndex);
    event Transfer(address indexed from, address indexed to, uint256 value);
    event PunkTransfer(address indexed from, address indexed to, uint256 punkIndex);
    event PunkBought(uint256 indexed punkIndex, uint256 value, address indexed fromAddress, address indexed toAddress);

    function mint(address to, uint256 id) external {
        punkIndexToAddress[id] = to;
        balanceOf[to]++;
        emit Assign(to, id);
    }

    function give(address to, uint256 id) external {
        move(to, id);
        emit Transfer(msg.sender, to, 1);
        emit PunkTransfer(msg.sender, to, id);
    }

    // The real one tells of it by two events as well.
    function sell(address to, uint256 id) external {
        move(to, id);
        emit Transfer(msg.sender, to, 1);
        emit PunkBought(id, 1 ether, msg.sender, to);
    }

    function move(address to, uint256 id) private {
        balanceOf[punkIndexToAddress[id]]--;
        punkIndexToAddress[id] = to;
        balanceOf[to]++;
    }
}

// Says of itself whatever it is told, and answers as much of a token as it has to.
contract Declared {
    bytes4 private immutable id;

    constructor(bytes4 id_) {
        id = id_;
    }

    function supportsInterface(bytes4 asked) external view returns (bool) {
        return asked == 0x01ffc9a7 || asked == id;
    }

    function balanceOf(address) external pure returns (uint256) {
        return 1;
    }

    function balanceOf(address, uint256) external pure returns (uint256) {
        return 1;
    }

    // In no words that anybody knows.
    error Gone(uint256 id, uint256 since);

    function ownerOf(uint256 token) external view returns (address) {
        revert Gone(token, block.number);
    }
}

// No token at all.
contract Silent {
    fallback() external {
        revert();
    }
}
