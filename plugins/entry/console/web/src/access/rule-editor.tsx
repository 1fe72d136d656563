// The rule of a gated content as a tree of forms, with mistakes shown where they are.

import { useContext, useId, useState } from "react";
import type { Finding } from "../api/access";
import { fromLocal, toLocal } from "../lib/format";
import { Icon } from "../ui/icons";
import { WithNames } from "../ui/names";
import { AssetInput, ChainSelect, Chains, Unavailable } from "./asset-input";
import { Holds } from "./findings";
import {
  blank,
  childrenOf,
  concerns,
  type Field,
  fieldOf,
  isOperator,
  kindOf,
  LEAVES,
  type Mistake,
  OPERATORS,
  type Operator,
  placeOfChild,
  type Rule,
  walletName,
  withChildren,
  withField,
  withOperator,
} from "./rules";

interface EditorProps {
  rule: Rule;
  /** JSON pointer of this rule from the root. */
  at: string;
  mistakes: Mistake[];
  /** The result of a preview of this rule here. */
  finding?: Finding | undefined;
  onChange(rule: Rule): void;
  /** Missing: it cannot be removed. */
  onRemove?: () => void;
}

export function RuleEditor(props: EditorProps) {
  const { rule, at, mistakes } = props;
  const own = mistakes.filter((mistake) => concerns(mistake.at, rule, at));
  return (
    <div
      className={own.length > 0 ? "border-bad border-l-4" : "border-edge border-l-2"}
      data-rule={kindOf(rule)}
    >
      <div className="space-y-3 py-1 pl-3 sm:pl-4">
        {isOperator(kindOf(rule)) ? <Group {...props} /> : <Leaf {...props} />}
        {own.map(({ at: place, message }) => (
          <p key={place + message} role="alert" className="break-words text-bad text-sm">
            {message}
          </p>
        ))}
      </div>
    </div>
  );
}

function Group({ rule, at, mistakes, finding, onChange, onRemove }: EditorProps) {
  const kind = kindOf(rule) as Operator;
  const children = childrenOf(rule);
  const replace = (index: number, child: Rule | null) =>
    onChange(
      withChildren(
        rule,
        children.flatMap((old, place) => (place === index ? (child ? [child] : []) : [old])),
      ),
    );
  return (
    <>
      <div className="flex flex-wrap items-center gap-2">
        <label>
          <span className="sr-only">How these conditions combine</span>
          <select
            className="field font-semibold"
            value={kind}
            onChange={(event) => onChange(withOperator(rule, event.target.value as Operator))}
          >
            {Object.entries(OPERATORS).map(([name, label]) => (
              <option key={name} value={name}>
                {label}
              </option>
            ))}
          </select>
        </label>
        {kind === "at_least" && <HowMany rule={rule} onChange={onChange} />}
        {finding && <Holds finding={finding} />}
        <RemoveButton onRemove={onRemove} what={`the group “${OPERATORS[kind]}”`} />
      </div>
      {children.map((child, index) => (
        <RuleEditor
          // biome-ignore lint/suspicious/noArrayIndexKey: a rule has no name but its place.
          key={index}
          rule={child}
          at={placeOfChild(rule, at, index)}
          mistakes={mistakes}
          finding={finding?.of?.[index]}
          onChange={(changed) => replace(index, changed)}
          {...(kind === "not" ? {} : { onRemove: () => replace(index, null) })}
        />
      ))}
      {kind !== "not" && <Add onAdd={(added) => onChange(withChildren(rule, [...children, added]))} />}
    </>
  );
}

function HowMany({ rule, onChange }: Pick<EditorProps, "rule" | "onChange">) {
  const { n, of } = rule.at_least as { n: number; of: Rule[] };
  return (
    <label className="flex items-center gap-2">
      <input
        type="number"
        className="field w-20"
        min={1}
        max={Math.max(1, of.length)}
        value={n}
        onChange={(event) => onChange({ at_least: { n: Number(event.target.value), of } })}
      />
      <span className="text-soft">of {of.length}</span>
    </label>
  );
}

function RemoveButton({ onRemove, what }: { onRemove?: (() => void) | undefined; what: string }) {
  if (!onRemove) return null;
  return (
    <button
      type="button"
      className="button button-small button-icon ml-auto"
      aria-label={`Remove ${what}`}
      onClick={onRemove}
    >
      <Icon name="close" size={16} />
    </button>
  );
}

export function Add({ onAdd }: { onAdd(rule: Rule): void }) {
  const [kind, setKind] = useState("erc721");
  return (
    <div className="flex gap-2">
      <label className="min-w-0">
        <span className="sr-only">Condition to add</span>
        <select className="field" value={kind} onChange={(event) => setKind(event.target.value)}>
          <optgroup label="Conditions">
            {Object.entries(LEAVES).map(([name, { label }]) => (
              <option key={name} value={name}>
                {label}
              </option>
            ))}
          </optgroup>
          <optgroup label="Groups">
            {Object.entries(OPERATORS).map(([name, label]) => (
              <option key={name} value={name}>
                {label}
              </option>
            ))}
          </optgroup>
        </select>
      </label>
      <button type="button" className="button" onClick={() => onAdd(blank(kind))}>
        <Icon name="plus" size={18} />
        Add
      </button>
    </div>
  );
}

function Leaf({ rule, finding, onChange, onRemove }: EditorProps) {
  const kind = kindOf(rule);
  const known = LEAVES[kind];
  return (
    <>
      <div className="flex items-center gap-2">
        <h4 className="font-semibold">{known?.label ?? kind}</h4>
        {finding && <Holds finding={finding} />}
        <RemoveButton onRemove={onRemove} what={`the condition “${known?.label ?? kind}”`} />
      </div>
      <div className="grid gap-x-4 gap-y-2 sm:grid-cols-2">
        {known?.fields.map((field) => (
          <FieldInput
            key={field.name}
            field={field}
            value={fieldOf(rule, field)}
            onChange={(value) => onChange(withField(rule, field, value))}
          />
        ))}
      </div>
      {finding?.text && (
        <p className="max-w-prose break-words text-soft text-sm">
          <WithNames text={finding.text} />
        </p>
      )}
    </>
  );
}

interface FieldProps {
  field: Field;
  value: unknown;
  onChange(value: unknown): void;
}

function FieldInput({ field, value, onChange }: FieldProps) {
  const id = useId();
  if (field.type === "check") {
    return (
      <label className="flex min-h-9 items-center gap-2.5 sm:col-span-2">
        <input
          type="checkbox"
          className="size-4 accent-accent"
          checked={value === true}
          onChange={(event) => onChange(event.target.checked)}
        />
        {field.label}
      </label>
    );
  }
  return (
    <div className={["lines", "wallets", "asset"].includes(field.type) ? "sm:col-span-2" : ""}>
      <label htmlFor={id} className="narrow text-soft text-sm">
        {field.label}
      </label>
      <Input id={id} field={field} value={value} onChange={onChange} />
    </div>
  );
}

function Input({ id, field, value, onChange }: FieldProps & { id: string }) {
  const text = typeof value === "string" || typeof value === "number" ? String(value) : "";
  const shared = { id, className: "field", required: field.required === true };
  switch (field.type) {
    case "choice":
      return (
        <select {...shared} value={text} onChange={(event) => onChange(event.target.value)}>
          {field.choices?.map(([name, label]) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </select>
      );
    case "asset":
      return (
        <AssetInput
          id={id}
          value={text}
          kind={field.namespace ? "solana" : "eip155"}
          namespace={field.namespace}
          placeholder={field.placeholder}
          onChange={onChange}
        />
      );
    case "chain":
      return <ChainInput id={id} field={field} value={text} onChange={onChange} />;
    case "lines":
      return <Lines id={id} field={field} value={value} onChange={onChange} />;
    case "wallets": {
      const named = (lines: string[]) => onChange(lines.map(walletName));
      return <Lines id={id} field={field} value={value} onChange={named} />;
    }
    case "time":
      return (
        <input
          {...shared}
          type="datetime-local"
          value={toLocal(text)}
          onChange={(event) => onChange(fromLocal(event.target.value))}
        />
      );
    case "number":
      return (
        <input
          {...shared}
          type="number"
          min={0}
          placeholder="0"
          value={text}
          onChange={(event) => onChange(event.target.value === "" ? "" : Number(event.target.value))}
        />
      );
    default:
      return (
        <input
          {...shared}
          className="field digits"
          autoComplete="off"
          spellCheck={false}
          placeholder={field.placeholder}
          value={text}
          onChange={(event) => onChange(event.target.value.trim())}
        />
      );
  }
}

/** Selects a chain, or takes its name if the server does not list any. */
function ChainInput({ id, field, value, onChange }: FieldProps & { id: string; value: string }) {
  const chains = useContext(Chains);
  if (chains && chains.length > 0) {
    return (
      <>
        <ChainSelect id={id} chains={chains} kind="eip155" value={value} onChange={onChange} />
        <div className="text-sm">{value && <Unavailable chains={chains} chain={value} />}</div>
      </>
    );
  }
  return (
    <input
      id={id}
      className="field digits"
      required={field.required === true}
      autoComplete="off"
      spellCheck={false}
      placeholder={field.placeholder}
      value={value}
      onChange={(event) => onChange(event.target.value.trim())}
    />
  );
}

/** Keeps the text as typed, including trailing line breaks, and passes on the lines with content. */
function Lines({ id, field, value, onChange }: FieldProps & { id: string }) {
  const lines = Array.isArray(value) ? value.map(String) : [];
  const [typed, setTyped] = useState(lines.join("\n"));
  return (
    <textarea
      id={id}
      className="field digits min-h-20"
      spellCheck={false}
      placeholder={field.placeholder}
      value={typed}
      onChange={(event) => {
        setTyped(event.target.value);
        onChange(linesOf(event.target.value));
      }}
    />
  );
}

export function linesOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}
