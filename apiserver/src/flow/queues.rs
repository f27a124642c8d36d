//! Fair queues: requests of one level wait in many queues, and each queue gets its turn by the work it has had.
//!
//! A flow is dealt a hand of queues by its hash and waits in the least busy of them, so that a flood fills its own
//! hand and no more. Which queue is next is decided by start-time fair queuing: a queue's `next` is the virtual time
//! at which its next request starts; work is counted in seat-seconds, guessed at first and set right when the
//! request ends. Pure: it knows no clock and no locks. Based on the queue sets of upstream's flow control.

use authn::Caller;
use authz::Attributes;
use std::collections::VecDeque;
use stdx::Time;
use tokio::sync::oneshot;

/// Seconds that a request is taken to need until it has ended.
const GUESSED_SECS: f64 = 0.003;
/// The biggest hand there can be: 60 bits of hash, at least four for each card.
const MAX_HAND: usize = 60;

/// How many queues there are, how many of them a flow may use, and how many requests wait in each at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub queues: usize,
    pub hand: usize,
    pub length: usize,
}

/// One request that waits.
pub struct Ticket {
    pub id: u64,
    pub seats: u32,
    /// Told when the request may begin, and from which queue it comes.
    pub grant: oneshot::Sender<usize>,
    pub who: Who,
    arrival: f64,
}

/// What a dump says of a request.
pub struct Who {
    pub schema: String,
    pub distinguisher: String,
    pub caller: Caller,
    pub asked: Attributes,
    pub arrived: Time,
}

#[derive(Default)]
pub struct Queue {
    pub waiting: VecDeque<Ticket>,
    /// Requests and seats that came from here and have not ended.
    pub executing: u32,
    pub seats: u32,
    /// The virtual time at which its next request starts, in seat-seconds.
    pub next: f64,
}

impl Queue {
    /// Seat-seconds of what waits.
    pub fn work(&self) -> f64 {
        self.waiting.iter().map(|ticket| work(ticket.seats)).sum()
    }

    /// No request starts, in virtual time, before it came.
    fn bound(&mut self) {
        if let Some(first) = self.waiting.front() {
            self.next = self.next.max(first.arrival);
        }
    }
}

/// The queues of a level.
#[derive(Default)]
pub struct Queues {
    shape: Option<Shape>,
    pub queues: Vec<Queue>,
    /// The virtual time: when the request that began last started.
    pub now: f64,
    /// The queue that was served last.
    last: usize,
    enqueued: usize,
    ids: u64,
}

fn work(seats: u32) -> f64 {
    f64::from(seats) * GUESSED_SECS
}

impl Queues {
    /// Takes another shape, or none. Queues that are too many are used no more, and served until they are empty.
    pub fn reshape(&mut self, shape: Option<Shape>) {
        self.shape = shape;
        let wanted = shape.map_or(0, |shape| shape.queues);
        if wanted > self.queues.len() {
            self.queues.resize_with(wanted, Queue::default);
        }
    }

    pub fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// Lets a request wait, unless the queue that its flow has for it is full. Returns its id and its queue.
    pub fn enqueue(
        &mut self,
        hash: u64,
        seats: u32,
        who: Who,
        full: bool,
        grant: oneshot::Sender<usize>,
    ) -> Option<(u64, usize)> {
        let shape = self.shape?;
        let index = self.choose(shape, hash);
        let now = self.now;
        let queue = self.queues.get_mut(index)?;
        if full && queue.waiting.len() >= shape.length {
            return None;
        }
        if queue.waiting.is_empty() && queue.executing == 0 {
            queue.next = queue.next.max(now);
        }
        self.ids += 1;
        queue.waiting.push_back(Ticket { id: self.ids, seats, grant, who, arrival: now });
        queue.bound();
        Some((self.ids, index))
    }

    /// The least busy queue of a flow's hand.
    fn choose(&mut self, shape: Shape, hash: u64) -> usize {
        let mut cards = [0; MAX_HAND];
        let hand = deal(hash, shape, &mut cards);
        let offset = self.enqueued % hand.len().max(1);
        self.enqueued = self.enqueued.wrapping_add(1);
        let load = |index: usize| self.queues.get(index).map_or(f64::MAX, Queue::work);
        let (before, after) = hand.split_at(offset);
        let in_turn = after.iter().chain(before).copied();
        in_turn.min_by(|a, b| load(*a).total_cmp(&load(*b))).unwrap_or_default()
    }

    /// The queue whose first request is next, and how many seats that needs.
    pub fn next(&self) -> Option<(usize, u32)> {
        let count = self.queues.len();
        let in_turn = (1..=count).map(|i| (self.last + i) % count);
        let candidates = in_turn.filter_map(|index| {
            let queue = self.queues.get(index)?;
            let first = queue.waiting.front()?;
            Some((queue.next + work(first.seats), index, first.seats))
        });
        candidates.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, index, seats)| (index, seats))
    }

    /// Takes the first request of a queue out, to begin.
    pub fn begin(&mut self, index: usize) -> Option<Ticket> {
        let queue = self.queues.get_mut(index)?;
        let ticket = queue.waiting.pop_front()?;
        self.now = self.now.max(queue.next);
        self.last = index;
        queue.next += work(ticket.seats);
        queue.executing += 1;
        queue.seats += ticket.seats;
        queue.bound();
        Some(ticket)
    }

    /// A request that came from a queue has ended, or never began.
    pub fn end(&mut self, index: usize, seats: u32, took_secs: f64) {
        if let Some(queue) = self.queues.get_mut(index) {
            queue.executing = queue.executing.saturating_sub(1);
            queue.seats = queue.seats.saturating_sub(seats);
            queue.next += f64::from(seats) * (took_secs - GUESSED_SECS);
            queue.bound();
        }
    }

    /// Takes a request out that waits no more. Nothing when it is not there.
    pub fn leave(&mut self, index: usize, id: u64) -> Option<Ticket> {
        let queue = self.queues.get_mut(index)?;
        let at = queue.waiting.iter().position(|ticket| ticket.id == id)?;
        let ticket = queue.waiting.remove(at);
        queue.bound();
        ticket
    }
}

/// A hand of different cards from a deck, by the digits of `hash` to falling bases.
fn deal(mut hash: u64, shape: Shape, cards: &mut [usize; MAX_HAND]) -> &[usize] {
    let size = shape.hand.min(shape.queues).min(MAX_HAND);
    for i in 0..size {
        let left = (shape.queues - i) as u64;
        let (digit, rest) = (hash % left, hash / left);
        hash = rest;
        let mut card = usize::try_from(digit).unwrap_or_default();
        // Skip the cards that are gone, from the smallest.
        let gone = &mut cards[..i];
        gone.sort_unstable();
        for taken in gone {
            if card >= *taken {
                card += 1;
            }
        }
        cards[i] = card;
    }
    &cards[..size]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random, the same in every run.
    fn numbers() -> impl Iterator<Item = u64> {
        std::iter::successors(Some(0x9E37_79B9_7F4A_7C15_u64), |n| {
            let mut n = *n;
            n ^= n << 13;
            n ^= n >> 7;
            n ^= n << 17;
            Some(n)
        })
    }

    fn who() -> Who {
        Who {
            schema: String::new(),
            distinguisher: String::new(),
            caller: authn::in_process("a", &[]),
            asked: Attributes::default(),
            arrived: Time::default(),
        }
    }

    fn enqueue(queues: &mut Queues, hash: u64, seats: u32) -> Option<(u64, usize)> {
        queues.enqueue(hash, seats, who(), true, oneshot::channel().0)
    }

    #[test]
    fn hands_have_different_cards_of_the_deck() {
        let shape = Shape { queues: 64, hand: 8, length: 50 };
        let mut seen = [0_u32; 64];
        for hash in numbers().take(2_000) {
            let mut cards = [0; MAX_HAND];
            let mut hand = deal(hash, shape, &mut cards).to_vec();
            hand.iter().for_each(|card| seen[*card] += 1);
            hand.sort_unstable();
            hand.dedup();
            assert_eq!(hand.len(), 8);
        }
        assert!(seen.iter().all(|n| (150..350).contains(n)), "{seen:?}");
    }

    #[test]
    fn a_flood_fills_its_own_hand_only() {
        let mut queues = Queues::default();
        queues.reshape(Some(Shape { queues: 128, hand: 6, length: 50 }));
        let let_in = (0..1_000).filter(|_| enqueue(&mut queues, 7, 1).is_some()).count();
        assert_eq!(let_in, 300);
        assert_eq!(queues.queues.iter().filter(|q| !q.waiting.is_empty()).count(), 6);
        assert!(enqueue(&mut queues, u64::MAX / 3, 1).is_some(), "others still find room");
    }

    #[test]
    fn a_late_flow_does_not_wait_for_the_flood_before_it() {
        let mut queues = Queues::default();
        queues.reshape(Some(Shape { queues: 128, hand: 1, length: 1_000 }));
        for _ in 0..500 {
            enqueue(&mut queues, 7, 10);
        }
        for _ in 0..20 {
            let (index, seats) = queues.next().unwrap();
            queues.begin(index).unwrap();
            queues.end(index, seats, 0.01);
        }
        let (id, late) = enqueue(&mut queues, 8, 1).unwrap();
        let mut before = 0;
        loop {
            let (index, seats) = queues.next().unwrap();
            let ticket = queues.begin(index).unwrap();
            queues.end(index, seats, 0.01);
            if ticket.id == id {
                assert_eq!(index, late);
                break;
            }
            before += 1;
        }
        assert!(before <= 1, "{before} requests of the flood came first");
    }

    #[test]
    fn flows_share_by_work_and_not_by_requests() {
        let mut queues = Queues::default();
        queues.reshape(Some(Shape { queues: 2, hand: 1, length: 10_000 }));
        let (mut wide, mut narrow) = (0, 0);
        let wide_queue = enqueue(&mut queues, 0, 10).unwrap().1;
        for _ in 0..4_000 {
            enqueue(&mut queues, 0, 10);
            enqueue(&mut queues, 1, 1);
        }
        for _ in 0..2_200 {
            let (index, seats) = queues.next().unwrap();
            queues.begin(index).unwrap();
            queues.end(index, seats, 0.003);
            if index == wide_queue { wide += 1 } else { narrow += 1 }
        }
        assert!((190..=210).contains(&wide) && narrow > 1_900, "{wide} {narrow}");
    }

    #[test]
    fn who_leaves_is_gone_and_the_rest_goes_on() {
        let mut queues = Queues::default();
        queues.reshape(Some(Shape { queues: 4, hand: 2, length: 10 }));
        let (id, index) = enqueue(&mut queues, 1, 3).unwrap();
        assert_eq!(queues.leave(index, id).map(|t| t.seats), Some(3));
        assert!(queues.leave(index, id).is_none() && queues.next().is_none());
        queues.reshape(None);
        assert!(enqueue(&mut queues, 1, 1).is_none(), "a level without queues lets nobody wait");
    }
}
