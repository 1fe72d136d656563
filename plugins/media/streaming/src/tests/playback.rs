//! Slots and waiting players, against a simple model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::gate::viewers::Viewer;
use crate::object::path::ContentId;
use crate::samples::ID;

const LIMIT: usize = 3;
const CAPACITY: usize = 64;
const START_MS: u64 = 1_760_000_000_000;

fn playbacks() -> PlaybackSessions {
    PlaybackSessions::new(Lifetimes::new(
        Duration::from_secs(1800),
        Duration::from_secs(36_000),
        LIMIT,
        CAPACITY,
    ))
}

fn standing(principal: &str) -> Arc<Standing> {
    let (principal, credential) = (principal.into(), format!("session:{principal}").into());
    let viewer = Viewer { principal, credential, ..Viewer::default() };
    Arc::new(Standing::new(ContentId::parse(ID).unwrap(), viewer))
}

fn open(
    playbacks: &PlaybackSessions,
    standing: &Arc<Standing>,
    name: u64,
    now_ms: u64,
) -> Arc<PlaybackSession> {
    let mut playback = [0; 16];
    playback[..8].copy_from_slice(&name.to_be_bytes());
    let claims = Claims { playback, principal: [0; 8], generation: 1, issued_at: now_ms / 1000 };
    playbacks.admit(PlaybackSession::new(&claims, standing.clone(), String::new(), now_ms), now_ms)
}

/// A segment request, as the gate handles it.
fn play(playbacks: &PlaybackSessions, playback: &PlaybackSession, now_ms: u64) -> Result<(), Refusal> {
    if playback.play(now_ms) {
        return Ok(());
    }
    playbacks.claim_slot(playback, now_ms).map(drop)
}

#[derive(Debug, Clone)]
enum Step {
    /// One of two principals opens a page.
    Open(bool),
    /// A player, counted from the newest, asks for a segment.
    Play(usize),
    /// It asks for a playlist.
    Look(usize),
    /// Seconds pass.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<bool>().prop_map(Step::Open),
        6 => (0..8_usize).prop_map(Step::Play),
        1 => (0..8_usize).prop_map(Step::Look),
        3 => (0..30_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn no_principal_ever_plays_in_more_places_and_nobody_is_refused_without_need(
        steps in prop::collection::vec(step(), 1..200)
    ) {
        let (playbacks, mut now_ms) = (playbacks(), START_MS);
        let standings = [standing("ada"), standing("bob")];
        let mut players: Vec<(usize, Arc<PlaybackSession>)> = Vec::new();
        // For each player with a slot, by its number: the time of its last segment request.
        let mut places: BTreeMap<usize, u64> = BTreeMap::new();
        for step in steps {
            // The gate has forgotten a session that was idle for too long.
            let alive = |which: &usize| players[*which].1.alive(now_ms, &playbacks.lifetimes);
            let newest = |back: usize| players.len().checked_sub(back + 1).filter(alive);
            match step {
                Step::Open(second) => {
                    let whose = usize::from(second);
                    let playback = open(&playbacks, &standings[whose], players.len() as u64, now_ms);
                    players.push((whose, playback));
                }
                Step::Wait(seconds) => now_ms += seconds * 1000,
                Step::Look(back) => if let Some(which) = newest(back) {
                    players[which].1.used(now_ms);
                },
                Step::Play(back) => if let Some(which) = newest(back) {
                    let (whose, playback) = &players[which];
                    // The gate plays with no expired playback session, and an expired session holds no slot.
                    let alive = |which: usize| players[which].1.alive(now_ms, &playbacks.lifetimes);
                    if !alive(which) {
                        continue;
                    }
                    places.retain(|other, _| alive(*other));
                    let others = places.iter().filter(|(other, _)| players[**other].0 == *whose);
                    let others: Vec<_> = others.map(|(other, last)| (*last, *other)).collect();
                    let has_one = places.contains_key(&which);
                    let quietest = others.iter().min().copied();
                    let said = play(&playbacks, playback, now_ms);
                    match quietest.filter(|_| !has_one && others.len() == LIMIT) {
                        Some((last, _)) if now_ms - last < SILENT_MS => {
                            let refusal = said.unwrap_err();
                            let wait = (SILENT_MS - (now_ms - last)).div_ceil(1000);
                            prop_assert_eq!(refusal, Refusal::too_many_sessions(LIMIT, wait));
                            continue;
                        }
                        Some((last, _)) => {
                            // Of those that were idle equally long it may be any.
                            let left = others.iter().filter(|(at, _)| *at == last).map(|(_, other)| *other);
                            let left: Vec<_> =
                                left.filter(|other| players[*other].1.slot_ms.load(Relaxed) == 0).collect();
                            prop_assert_eq!(left.len(), 1);
                            places.remove(&left[0]);
                        }
                        None => {}
                    }
                    prop_assert!(said.is_ok());
                    places.insert(which, now_ms);
                },
            }
            for (which, (whose, playback)) in players.iter().enumerate() {
                let place = places.get(&which).copied().unwrap_or(0);
                prop_assert_eq!(playback.slot_ms.load(Relaxed), place, "player {} of {}", which, whose);
            }
            let table = playbacks.table();
            prop_assert!(table.by_id.len() <= CAPACITY);
            prop_assert_eq!(table.by_principal.values().map(Vec::len).sum::<usize>(), table.by_id.len());
            for playbacks in table.by_principal.values() {
                let unplayed = playbacks.iter().filter(|playback| !playback.played.load(Relaxed)).count();
                prop_assert!(unplayed <= UNPLAYED);
            }
        }
    }
}

#[test]
fn of_any_number_of_pages_that_are_opened_the_newest_wait_and_none_keeps_a_player_from_its_place() {
    let (playbacks, ada) = (playbacks(), standing("ada"));
    let playing = open(&playbacks, &ada, 0, START_MS);
    play(&playbacks, &playing, START_MS).unwrap();
    let opened: Vec<_> = (1..1000).map(|name| open(&playbacks, &ada, name, START_MS + name)).collect();
    let kept = opened.iter().filter(|playback| playbacks.find(&playback.id).is_some()).count();
    assert_eq!((kept, playbacks.table().by_id.len()), (UNPLAYED, UNPLAYED + 1));
    for playback in &opened[opened.len() - UNPLAYED..] {
        assert!(playbacks.find(&playback.id).is_some());
    }
    play(&playbacks, opened.last().unwrap(), START_MS + 1000).unwrap();
    play(&playbacks, &playing, START_MS + 1000).unwrap();
}

#[test]
fn a_page_that_nothing_is_played_on_is_forgotten_soon_and_a_player_that_pauses_is_not() {
    let (playbacks, ada) = (playbacks(), standing("ada"));
    let (paused, opened) = (open(&playbacks, &ada, 0, START_MS), open(&playbacks, &ada, 1, START_MS));
    play(&playbacks, &paused, START_MS).unwrap();
    let later = START_MS + UNPLAYED_MS + 1;
    assert!(paused.alive(later, &playbacks.lifetimes) && !opened.alive(later, &playbacks.lifetimes));
    open(&playbacks, &ada, 2, later);
    assert!(playbacks.find(&paused.id).is_some() && playbacks.find(&opened.id).is_none());
}

#[test]
fn of_many_that_begin_at_once_as_many_play_as_may_and_each_place_is_given_once() {
    for _ in 0..50 {
        let (playbacks, ada) = (playbacks(), standing("ada"));
        let silent: Vec<_> = (0..LIMIT as u64).map(|name| open(&playbacks, &ada, name, START_MS)).collect();
        silent.iter().for_each(|playback| play(&playbacks, playback, START_MS).unwrap());
        let new: Vec<_> = (10..20).map(|name| open(&playbacks, &ada, name, START_MS)).collect();
        let now_ms = START_MS + SILENT_MS;
        let all: Vec<_> = silent.iter().chain(&new).collect();
        let got = std::thread::scope(|scope| {
            let threads: Vec<_> = all
                .iter()
                .map(|playback| scope.spawn(|| play(&playbacks, playback, now_ms).is_ok()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|played| *played).count()
        });
        let places = all.iter().filter(|playback| playback.slot_ms.load(Relaxed) > 0).count();
        assert_eq!((got, places), (LIMIT, LIMIT));
    }
}

#[test]
fn those_who_are_not_signed_in_have_no_places_to_count() {
    let playbacks = playbacks();
    let nobody = Arc::new(Standing::new(ContentId::parse(ID).unwrap(), Viewer::default()));
    for name in 0..CAPACITY as u64 / 2 {
        play(&playbacks, &open(&playbacks, &nobody, name, START_MS), START_MS).unwrap();
    }
}

#[test]
fn a_viewer_who_goes_from_network_to_network_plays_on_and_an_address_that_is_passed_on_is_bounded() {
    const MOST: usize = 3;
    let (playbacks, ada) = (playbacks(), standing("ada"));
    let playback = open(&playbacks, &ada, 0, START_MS);
    let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(number));
    // Wifi, the phone's network, a tunnel, and again from the start, with idle time between: any number of
    // them.
    let mut now_ms = START_MS;
    for number in 0..20 {
        playback.played_from(address(number), now_ms, MOST).unwrap();
        now_ms += SILENT_MS / 2;
    }
    // An active player keeps its slot, and of all others as many play as allowed.
    let mut now_ms = now_ms + SILENT_MS;
    playback.played_from(address(7), now_ms, MOST).unwrap();
    let others = (100..400).filter(|number| playback.played_from(address(*number), now_ms, MOST).is_ok());
    assert_eq!(others.count(), MOST - 1);
    assert_eq!(playback.played_from(address(500), now_ms + 1, MOST), Err(SILENT_MS - 1));
    for _ in 0..10 {
        now_ms += SILENT_MS - 1;
        playback.played_from(address(7), now_ms, MOST).unwrap();
    }
    // Those that became idle make room.
    playback.played_from(address(500), now_ms, MOST).unwrap();
    playback.played_from(address(7), now_ms, MOST).unwrap();
}

proptest! {
    #[test]
    fn at_no_time_is_a_playback_session_played_from_more_addresses_than_may_be(
        steps in prop::collection::vec((0..12_u32, 0..8_000_u64), 1..300),
        most in 1..5_usize,
    ) {
        let (playbacks, ada) = (playbacks(), standing("ada"));
        let playback = open(&playbacks, &ada, 0, START_MS);
        let (mut now_ms, mut last) = (START_MS, BTreeMap::new());
        for (number, wait_ms) in steps {
            now_ms += wait_ms;
            let address = IpAddr::from(std::net::Ipv4Addr::from_bits(number));
            let playing = last.iter().filter(|(known, at)| **known != number && now_ms - **at < SILENT_MS).count();
            match playback.played_from(address, now_ms, most) {
                Ok(()) => {
                    last.insert(number, now_ms);
                    prop_assert!(playing < most);
                }
                Err(wait_ms) => {
                    prop_assert!(playing == most && (1..=SILENT_MS).contains(&wait_ms));
                    last.remove(&number);
                }
            }
        }
    }
}
