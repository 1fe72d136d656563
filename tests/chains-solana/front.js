// A Solana cluster for tests. The token programs, the associated-token program and the system program are
// the real ones, run by LiteSVM. The JSON-RPC in front of it is implemented here, as far as the plugin
// uses it: a validator's answers, errors and slots, for one bank that is confirmed and one that is
// finalized. Metaplex's program is not published as a package, so its accounts are written by Metaplex's
// own serializer and set, not created by its program. There is no indexer of compressed assets either:
// `getAssetsByOwner` returns what a test has set.
import { createServer } from 'node:http';
import { createHash } from 'node:crypto';
import { LiteSVM, FailedTransactionMetadata } from 'litesvm';
import {
    address, appendTransactionMessageInstructions, createKeyPairSignerFromPrivateKeyBytes,
    createTransactionMessage, generateKeyPairSigner, getAddressDecoder, getAddressEncoder, getBase58Encoder,
    getProgramDerivedAddress, lamports, pipe,
    setTransactionMessageFeePayerSigner, signTransactionMessageWithSigners,
} from '@solana/kit';
import { getCreateAccountInstruction } from '@solana-program/system';
import {
    findAssociatedTokenPda, getCloseAccountInstruction, getCreateAssociatedTokenInstruction,
    getFreezeAccountInstruction, getInitializeAccount3Instruction, getInitializeMint2Instruction,
    getMintToInstruction, getTransferInstruction,
} from '@solana-program/token';
import metaplex from '@metaplex-foundation/mpl-token-metadata';

const { getMetadataAccountDataSerializer, getMasterEditionAccountDataSerializer } = metaplex;

const SYSTEM = address('11111111111111111111111111111111');
const TOKEN = address('TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA');
const TOKEN_2022 = address('TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb');
const METAPLEX = address('metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s');
const CORE = address('CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d');
const ACCOUNT_BYTES = 165;

const GENESIS = hashOf('genesis');
const svm = new LiteSVM();
const payer = await generateKeyPairSigner();
const signers = new Map();
const blocks = new Map();
let slot = 1000;
let finalized = { svm, slot };
let assets = null;
let searches = true;

function hashOf(text) {
    return getAddressDecoder().decode(createHash('sha256').update(text).digest());
}

function advance(by) {
    for (let i = 0; i < by; i++) {
        slot += 1;
        blocks.set(slot, { hash: hashOf(`block ${slot}`), time: Math.floor(Date.now() / 1000) });
    }
    svm.expireBlockhash();
}

/** The cluster is finalized up to now: by a copy of all accounts. */
function finalize() {
    const copy = new LiteSVM();
    for (const program of [SYSTEM, TOKEN, TOKEN_2022, METAPLEX, CORE]) {
        svm.getProgramAccounts(program).forEach(account => copy.setAccount(account));
    }
    finalized = { svm: copy, slot };
}

class RpcError extends Error {
    constructor(code, message) {
        super(message);
        this.code = code;
    }
}

/** The bank that a call reads, which must have reached the slot that the call states. */
function bank(config = {}) {
    const at = config.commitment === 'finalized' ? finalized : { svm, slot };
    if ((config.minContextSlot ?? 0) > at.slot) {
        throw new RpcError(-32016, 'Minimum context slot has not been reached');
    }
    return at;
}

function encoded(account, config) {
    let data = Buffer.from(account.data);
    if (config.encoding !== 'base64') throw new RpcError(-32602, 'this front answers base64 only');
    if (config.dataSlice) {
        data = data.subarray(config.dataSlice.offset, config.dataSlice.offset + config.dataSlice.length);
    }
    return {
        data: [data.toString('base64'), 'base64'],
        executable: account.executable,
        lamports: Number(account.lamports),
        owner: account.programAddress,
        rentEpoch: 0,
        space: account.data.length,
    };
}

function isTokenAccount(data) {
    return data.length === ACCOUNT_BYTES || (data.length > ACCOUNT_BYTES && data[ACCOUNT_BYTES] === 2);
}

const rpc = {
    getGenesisHash: () => GENESIS,
    getSlot: config => bank(config).slot,
    getBlock: (number, config) => {
        if (number > bank({ commitment: config.commitment }).slot) {
            throw new RpcError(-32004, `Block not available for slot ${number}`);
        }
        const block = blocks.get(number);
        if (!block) throw new RpcError(-32009, `Slot ${number} was skipped, or missing in long-term storage`);
        return {
            blockHeight: number - 10, blockTime: block.time, blockhash: block.hash, parentSlot: number - 1,
            previousBlockhash: hashOf(`block ${number - 1}`),
        };
    },
    getBalance: (owner, config) => {
        const at = bank(config);
        return { context: { slot: at.slot }, value: Number(at.svm.getBalance(address(owner)) ?? 0n) };
    },
    getMultipleAccounts: (wanted, config) => {
        const at = bank(config);
        if (wanted.length > 100) throw new RpcError(-32602, `Too many inputs provided; max 100`);
        const value = wanted.map(name => {
            const account = at.svm.getAccount(address(name));
            return account.exists ? encoded(account, config) : null;
        });
        return { context: { slot: at.slot }, value };
    },
    getProgramAccounts: (program, config) => {
        const at = bank(config);
        if (!searches) throw new RpcError(-32010, `${program} excluded from account secondary indexes`);
        if (!config.withContext) throw new RpcError(-32602, 'this front answers with the context only');
        if (config.filters.length > 4) throw new RpcError(-32602, 'Too many filters provided; max 4');
        const fits = data => config.filters.every(({ memcmp: { offset, bytes } }) => {
            const wanted = getBase58Encoder().encode(bytes);
            return Buffer.compare(data.slice(offset, offset + wanted.length), wanted) === 0;
        });
        const value = at.svm.getProgramAccounts(address(program))
            .filter(({ data }) => fits(data))
            .map(account => ({ pubkey: account.address, account: encoded(account, config) }));
        return { context: { slot: at.slot }, value };
    },
    getTokenAccountsByOwner: (owner, filter, config) => {
        const at = bank(config);
        let programs = [filter.programId];
        if (filter.mint) {
            const mint = at.svm.getAccount(address(filter.mint));
            if (!mint.exists || ![TOKEN, TOKEN_2022].includes(mint.programAddress)) {
                throw new RpcError(-32602, 'Invalid param: could not find mint');
            }
            programs = [mint.programAddress];
        }
        const is = (data, at, name) =>
            Buffer.compare(data.slice(at, at + 32), getAddressEncoder().encode(address(name))) === 0;
        const value = programs
            .flatMap(program => at.svm.getProgramAccounts(address(program)))
            .filter(({ data }) => isTokenAccount(data) && is(data, 32, owner))
            .filter(({ data }) => !filter.mint || is(data, 0, filter.mint))
            .map(account => ({ pubkey: account.address, account: encoded(account, config) }));
        return { context: { slot: at.slot }, value };
    },
    getAssetsByOwner: ({ ownerAddress, page, limit }) => {
        if (!assets) throw new RpcError(-32601, 'Method not found');
        const owned = assets.filter(asset => asset.ownership.owner === ownerAddress);
        // An index may allow less than requested.
        limit = Math.min(limit, 200);
        const items = owned.slice((page - 1) * limit, page * limit);
        return { last_indexed_slot: slot, total: items.length, limit, page, items };
    },
};

async function send(instructions) {
    const message = pipe(
        createTransactionMessage({ version: 0 }),
        it => setTransactionMessageFeePayerSigner(payer, it),
        it => svm.setTransactionMessageLifetimeUsingLatestBlockhash(it),
        it => appendTransactionMessageInstructions(instructions, it),
    );
    const result = svm.sendTransaction(await signTransactionMessageWithSigners(message));
    if (result instanceof FailedTransactionMetadata) {
        throw new RpcError(-32002, `the transaction failed: ${result.toString()}`);
    }
    advance(1);
}

/** A stored signer: a new one, or the one whose secret key is 32 times a byte. */
async function newSigner(seed) {
    const signer = seed === undefined
        ? await generateKeyPairSigner()
        : await createKeyPairSignerFromPrivateKeyBytes(new Uint8Array(32).fill(seed));
    signers.set(signer.address, signer);
    return signer;
}

const existing = name => {
    const account = svm.getAccount(address(name));
    if (!account.exists) throw new RpcError(-32602, `there is no account ${name}`);
    return account;
};
const programOf = name => ({ programAddress: existing(name).programAddress });
const mintOf = account => getAddressDecoder().decode(existing(account).data.slice(0, 32));

function create(account, space, program) {
    const lamports = svm.minimumBalanceForRentExemption(BigInt(space));
    return getCreateAccountInstruction({
        payer, newAccount: account, lamports, space, programAddress: program,
    });
}

function set(name, program, data) {
    svm.setAccount({
        address: name, data, executable: false, lamports: lamports(10_000_000n),
        programAddress: address(program), space: BigInt(data.length),
    });
    advance(1);
}

async function metaplexAddress(mint, ...more) {
    const key = getAddressEncoder();
    const seeds = ['metadata', key.encode(METAPLEX), key.encode(address(mint)), ...more];
    return (await getProgramDerivedAddress({ programAddress: METAPLEX, seeds }))[0];
}

const some = value => ({ __option: 'Some', value });
const none = { __option: 'None' };

const test = {
    test_key: async seed => (await newSigner(seed)).address,
    test_advance: by => advance(by),
    test_finalize: () => finalize(),
    test_airdrop: (to, amount) => {
        const result = svm.airdrop(address(to), lamports(BigInt(amount)));
        if (result instanceof FailedTransactionMetadata) throw new RpcError(-32002, 'less than the rent');
        advance(1);
    },
    test_mint: async ({ program, decimals, extended }) => {
        const [mint, id] = [await newSigner(), program === 'token-2022' ? TOKEN_2022 : TOKEN];
        // With extensions: the account's kind, and an authority that may close the mint.
        const extension = {
            programAddress: id, accounts: [{ address: mint.address, role: 1 }],
            data: new Uint8Array([25, 1, ...getAddressEncoder().encode(payer.address)]),
        };
        const space = extended ? ACCOUNT_BYTES + 1 + 4 + 32 : 82;
        const initialize = getInitializeMint2Instruction({
            mint: mint.address, decimals, mintAuthority: payer.address, freezeAuthority: payer.address,
        }, { programAddress: id });
        await send([create(mint, space, id), ...(extended ? [extension] : []), initialize]);
        return mint.address;
    },
    test_associated: async (mint, owner) => {
        const { programAddress: tokenProgram } = programOf(mint);
        const [ata] = await findAssociatedTokenPda({ owner: address(owner), mint: address(mint), tokenProgram });
        await send([getCreateAssociatedTokenInstruction({
            payer, ata, owner: address(owner), mint: address(mint), tokenProgram,
        })]);
        return ata;
    },
    test_account: async (mint, owner) => {
        const [account, program] = [await newSigner(), programOf(mint)];
        const initialize = getInitializeAccount3Instruction({
            account: account.address, mint: address(mint), owner: address(owner),
        }, program);
        await send([create(account, ACCOUNT_BYTES, program.programAddress), initialize]);
        return account.address;
    },
    test_mint_to: (token, amount) => send([getMintToInstruction({
        mint: mintOf(token), token: address(token), mintAuthority: payer, amount: BigInt(amount),
    }, programOf(token))]),
    test_transfer: (source, destination, owner, amount) => send([getTransferInstruction({
        source: address(source), destination: address(destination), authority: signers.get(owner),
        amount: BigInt(amount),
    }, programOf(source))]),
    test_freeze: token => send([getFreezeAccountInstruction({
        account: address(token), mint: mintOf(token), owner: payer,
    }, programOf(token))]),
    test_close: (token, owner) => send([getCloseAccountInstruction({
        account: address(token), destination: payer.address, owner: signers.get(owner),
    }, programOf(token))]),
    test_metadata: async ({ mint, of, collection, verified, program }) => {
        const data = getMetadataAccountDataSerializer().serialize({
            updateAuthority: payer.address, mint: of ?? mint, name: 'Ticket\0\0\0\0', symbol: 'T',
            uri: 'https://example.org/1.json', sellerFeeBasisPoints: 500,
            creators: some([{ address: payer.address, verified: true, share: 100 }]),
            primarySaleHappened: false, isMutable: true, editionNonce: some(255), tokenStandard: some(0),
            collection: collection ? some({ verified, key: collection }) : none, uses: none,
            collectionDetails: none, programmableConfig: none,
        });
        const at = await metaplexAddress(mint);
        set(at, program ?? METAPLEX, data);
        return at;
    },
    test_edition: async mint => {
        const data = getMasterEditionAccountDataSerializer().serialize({ supply: 0n, maxSupply: some(0n) });
        set(await metaplexAddress(mint, 'edition'), METAPLEX, data);
    },
    // Core's program is not published either: its accounts are set directly.
    test_core: (name, data) => set(address(name), CORE, new Uint8Array(Buffer.from(data, 'base64'))),
    test_searches: does => {
        searches = does;
        advance(1);
    },
    test_assets: list => {
        assets = list;
        advance(1);
    },
};

async function answer(text) {
    const { id, method, params = [] } = JSON.parse(text);
    try {
        const call = rpc[method] ?? test[method];
        if (!call) throw new RpcError(-32601, 'Method not found');
        const result = await call(...(Array.isArray(params) ? params : [params]));
        return { jsonrpc: '2.0', id, result: result ?? null };
    } catch (error) {
        return { jsonrpc: '2.0', id, error: { code: error.code ?? -32603, message: String(error.message) } };
    }
}

svm.airdrop(payer.address, lamports(1_000_000_000_000n));
advance(1);
finalize();

const server = createServer((request, response) => {
    const parts = [];
    request.on('data', part => parts.push(part));
    request.on('end', async () => {
        const body = JSON.stringify(await answer(Buffer.concat(parts).toString()));
        response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    });
});
server.listen(0, '127.0.0.1', () => console.log(`Listening on 127.0.0.1:${server.address().port}`));
