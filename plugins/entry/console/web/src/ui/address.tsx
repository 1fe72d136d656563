// The address of a wallet or a contract: shortened, with the whole for the pointer, screen readers and
// the clipboard.

import { shortAddress } from "../lib/wallets";

export function Address({ value }: { value: string }) {
  return (
    <span className="digits whitespace-nowrap" title={value}>
      <span aria-hidden="true">{shortAddress(value)}</span>
      <span className="sr-only">{value}</span>
    </span>
  );
}
