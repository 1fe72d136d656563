// Something that failed, with a retry button.

export function Failure({ message, onRetry }: { message: string; onRetry?: () => void }) {
  return (
    <div role="alert" className="mt-2 break-words border-bad border-l-4 pl-4">
      <p>{message}</p>
      {onRetry && (
        <button type="button" className="button button-small mt-2" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}
