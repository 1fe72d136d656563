// Wallets of a test: they announce themselves to pages as real ones do (EIP-6963 and EIP-1193, the Wallet
// Standard) and sign with keys that the test knows, here and not in the page.

import { createPrivateKey, createPublicKey, sign } from 'node:crypto';

import { base58 } from '@scure/base';
import { privateKeyToAccount } from 'viem/accounts';

/** A key that is the same in every run: 32 times this byte. */
const keyOf = (seed) => `0x${seed.toString(16).padStart(2, '0').repeat(32)}`;

/** An EVM account, by a small number. */
export const account = (seed) => privateKeyToAccount(keyOf(seed));

/**
 * Gives a page (before it is opened) an EVM wallet. Its answers may be changed at any time: `account`,
 * `chain`, `rejects`, and `signs`, the account that signs if it is another one.
 */
export async function addEvmWallet(page, options) {
  const wallet = { chain: 1, rejects: false, signs: null, ...options };
  const methods = {
    eth_requestAccounts: () => [wallet.account.address],
    eth_accounts: () => [wallet.account.address],
    eth_chainId: () => `0x${wallet.chain.toString(16)}`,
    wallet_switchEthereumChain: ([{ chainId }]) => {
      wallet.chain = Number(chainId);
      return null;
    },
    personal_sign: ([raw, address]) => {
      if (wallet.rejects) throw Object.assign(new Error('User rejected the request.'), { code: 4001 });
      if (address !== wallet.account.address) throw Object.assign(new Error('Unknown account'), { code: 4100 });
      return (wallet.signs ?? wallet.account).signMessage({ message: { raw } });
    },
  };
  await page.exposeFunction('virtualEvmWallet', async ({ method, params }) => {
    try {
      if (!methods[method]) throw Object.assign(new Error(`${method} is not there`), { code: 4200 });
      return { result: await methods[method](params ?? []) };
    } catch (error) {
      return { error: { code: error.code ?? -32603, message: error.message } };
    }
  });
  await page.evaluateOnNewDocument(() => {
    const provider = {
      async request(call) {
        const { result, error } = await window.virtualEvmWallet(call);
        if (error) throw Object.assign(new Error(error.message), { code: error.code });
        return result;
      },
    };
    const info = {
      uuid: '350670db-19fa-4704-a166-e52e178b59d2',
      name: 'Virtual wallet',
      icon: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 2 2'><circle cx='1' cy='1' r='1'/></svg>",
      rdns: 'test.virtual',
    };
    const announce = () => {
      const detail = Object.freeze({ info, provider });
      window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }));
    };
    window.addEventListener('eip6963:requestProvider', announce);
    window.ethereum = provider;
    announce();
  });
  return wallet;
}

/** Gives a page a Solana wallet, by the Wallet Standard. */
export async function addSolanaWallet(page, seed) {
  // PKCS #8 around a raw Ed25519 seed (RFC 8410 §7).
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, seed)]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  await page.exposeFunction('virtualSolanaWallet', (text) => [...sign(null, Buffer.from(text), key)]);
  const address = base58.encode(publicKey);
  await page.evaluateOnNewDocument(
    (address, publicKey) => {
      const account = {
        address,
        publicKey: new Uint8Array(publicKey),
        chains: ['solana:mainnet'],
        features: ['solana:signIn'],
      };
      const signIn = async (input) => {
        const text =
          `${input.domain} wants you to sign in with your Solana account:\n${input.address}\n\n${input.statement}\n\n` +
          `URI: ${input.uri}\nVersion: ${input.version}\nChain ID: ${input.chainId}\nNonce: ${input.nonce}\n` +
          `Issued At: ${input.issuedAt}\nExpiration Time: ${input.expirationTime}`;
        const signature = new Uint8Array(await window.virtualSolanaWallet(text));
        return [{ account, signedMessage: new TextEncoder().encode(text), signature }];
      };
      const wallet = {
        version: '1.0.0',
        name: 'Virtual Solana wallet',
        icon: 'data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4=',
        chains: ['solana:mainnet'],
        accounts: [],
        features: {
          'standard:connect': { version: '1.0.0', connect: async () => ({ accounts: [account] }) },
          'solana:signIn': { version: '1.0.0', signIn },
        },
      };
      const register = ({ register }) => register(wallet);
      window.addEventListener('wallet-standard:app-ready', (event) => register(event.detail));
      window.dispatchEvent(new CustomEvent('wallet-standard:register-wallet', { detail: register }));
    },
    address,
    [...publicKey],
  );
  return { address };
}
