//! Events and subscriptions.

use std::marker::PhantomData;
use std::task::{Context, Poll};

use abi_stable::StableAbi;
use abi_stable::prefix_type::WithMetadata;
use abi_stable::std_types::{ROption, RString};
use async_ffi::{ContextExt, FfiContext, FfiPoll};

use super::{Extra, FfiBytes};

/// A CloudEvent (version 1.0) that crosses. Empty text stands for an absent attribute.
#[repr(C)]
#[derive(StableAbi)]
pub struct Event {
    /// CloudEvents `id`.
    pub id: RString,
    /// CloudEvents `source`.
    pub source: RString,
    /// CloudEvents `type`.
    pub kind: RString,
    /// The subject it is published on, in NATS syntax; also the CloudEvents `subject`.
    pub subject: RString,
    /// CloudEvents `time`, RFC 3339.
    pub time: RString,
    /// CloudEvents `datacontenttype`.
    pub datacontenttype: RString,
    /// W3C Trace Context `traceparent` of the work that caused it.
    pub traceparent: RString,
    /// CloudEvents `data`.
    pub data: FfiBytes,
    /// Fields of later versions.
    pub extra: Extra,
}

/// The parameters of a subscription.
#[repr(C)]
#[derive(StableAbi)]
pub struct SubscribeOptions {
    /// A subject, `*` for one token, `>` for one or more at the end.
    pub subject: RString,
    /// Members of one queue group share the events; empty for none.
    pub queue: RString,
    /// How many events wait here before `publish` does.
    pub capacity: usize,
    /// Fields of later versions.
    pub extra: Extra,
}

/// The source of events on the host's side.
pub trait EventSource: Send + 'static {
    /// The next event, or `None` when the bus has closed.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>>;
}

/// A bounded subscription; dropping it ends it.
#[repr(C)]
#[derive(StableAbi)]
pub struct Subscription {
    state: *mut (),
    poll: extern "C" fn(*mut (), &mut FfiContext<'_>) -> FfiPoll<ROption<Event>>,
    vtable: SubscriptionVtableRef,
}

/// New functions are appended; a subscription of an older side does not have them.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = SubscriptionVtableRef)))]
#[sabi(missing_field(option))]
struct SubscriptionVtable {
    #[sabi(last_prefix_field)]
    release: extern "C" fn(*mut ()),
    #[cfg(feature = "next")]
    next: extern "C" fn() -> u64,
}

/// The table of one type.
struct TableOf<S>(PhantomData<S>);

impl<S: EventSource> TableOf<S> {
    const TABLE: &'static WithMetadata<SubscriptionVtable> = &WithMetadata::new(SubscriptionVtable {
        release: release::<S>,
        #[cfg(feature = "next")]
        next: super::next::entry,
    });
}

// SAFETY: `state` is a boxed `EventSource`, which is `Send`, reached only through `&mut self`.
unsafe impl Send for Subscription {}

extern "C" fn poll<S: EventSource>(state: *mut (), cx: &mut FfiContext<'_>) -> FfiPoll<ROption<Event>> {
    // SAFETY: `state` is the boxed `S` of `Subscription::new`, and the caller's `&mut` makes the
    // reference the only one.
    let source = unsafe { &mut *state.cast::<S>() };
    FfiPoll::from_poll(cx.with_context(|cx| source.poll_next(cx)).map(ROption::from))
}

extern "C" fn release<S>(state: *mut ()) {
    // SAFETY: `state` came from `Box::into_raw` in `Subscription::new` and is released once.
    drop(unsafe { Box::from_raw(state.cast::<S>()) });
}

impl Subscription {
    /// A subscription to the events of `source`.
    pub fn new<S: EventSource>(source: S) -> Self {
        let vtable = SubscriptionVtableRef(TableOf::<S>::TABLE.static_as_prefix());
        Self { state: Box::into_raw(Box::new(source)).cast(), poll: poll::<S>, vtable }
    }

    /// The next event, or `None` when the bus has closed.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        #[cfg(feature = "next")]
        super::next::check_entry(self.vtable.next());
        let (poll, state) = (self.poll, self.state);
        match cx.with_ffi_context(|cx| poll(state, cx)) {
            FfiPoll::Ready(event) => Poll::Ready(event.into_option()),
            FfiPoll::Pending => Poll::Pending,
            FfiPoll::Panicked => Poll::Ready(None),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.vtable.release()(self.state);
    }
}
