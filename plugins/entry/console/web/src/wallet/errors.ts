// Why a wallet failed, as text for people.

import { ApiError, messageOf, wholeMessageOf } from "../api/client";

/** Declined, or not supported by the wallet: no error of this page or the server. */
export class WalletError extends Error {
  override readonly name = "WalletError";
}

/** Codes of EIP-1193 and EIP-1474 with a useful meaning. */
const SENTENCES: Record<number, string> = {
  4001: "You declined in the wallet. Nothing was signed; try again at any time.",
  4100: "The wallet does not allow this page to use that account. Allow it in the wallet, then try again.",
  4200: "This wallet cannot sign messages.",
  4900: "The wallet is not connected to any network.",
  4901: "The wallet is not connected to this network.",
  4902: "The wallet does not know that network. Add it there, then try again.",
  [-32002]: "The wallet is waiting for your answer to an earlier request. Open it and answer there.",
  [-32603]: "Something went wrong inside the wallet. Unlock it, then try again.",
};

const REJECTION = /reject|denied|declin|cancel/i;

export function isRejection(error: unknown): boolean {
  const { code, message } = fieldsOf(error);
  return code === 4001 || (code === null && REJECTION.test(message));
}

/** The message for anything that signing in may throw. */
export function explainWallet(error: unknown): string {
  if (error instanceof ApiError || error instanceof WalletError) return wholeMessageOf(error);
  if (isRejection(error)) return SENTENCES[4001] ?? "";
  const { code, message } = fieldsOf(error);
  if (code !== null && SENTENCES[code]) return SENTENCES[code];
  return message ? `The wallet says: ${/[.!?]$/.test(message) ? message : `${message}.`}` : messageOf(error);
}

/** Wallets throw errors, and objects that only look like errors. */
function fieldsOf(error: unknown): { code: number | null; message: string } {
  const fields = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  return {
    code: typeof fields.code === "number" ? fields.code : null,
    message: typeof fields.message === "string" ? fields.message : "",
  };
}
