// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

contract Ticket is ERC721("Ticket", "TCK") {
    function mint(address to, uint256 id) external {
        _mint(to, id);
    }
}

contract Coin is ERC20("Coin", "CON") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

contract Badge is ERC1155("") {
    function mint(address to, uint256 id, uint256 amount) external {
        _mint(to, id, amount, "");
    }
}
