//! Where partitions lie on a disk, one behind the other in its gaps.

use basalt_sysroot::partition::{ALIGNMENT, Extent};

/// A partition that is to be made; bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// It has at least so many; a multiple of the alignment.
    pub(super) least: u64,
    /// And at most so many.
    pub(super) most: u64,
}

impl Request {
    fn grows(self) -> bool {
        self.most > self.least
    }
}

/// The whole of a disk on which nothing stays.
pub(super) fn whole(size: u64) -> Extent {
    // The last MiB is the backup table's.
    let length = (size / ALIGNMENT).saturating_sub(2) * ALIGNMENT;
    Extent { start: ALIGNMENT, length }
}

/// What is free of a disk on which these stay.
pub(super) fn gaps(size: u64, kept: &[Extent]) -> Vec<Extent> {
    let mut kept = kept.to_vec();
    kept.sort_by_key(|extent| extent.start);
    let whole = whole(size);
    let mut gaps = Vec::new();
    let mut start = whole.start;
    for extent in kept.iter().chain([&Extent { start: whole.end(), length: 0 }]) {
        let end = extent.start.min(whole.end()) / ALIGNMENT * ALIGNMENT;
        if end > start {
            gaps.push(Extent { start, length: end - start });
        }
        start = start.max(extent.end().next_multiple_of(ALIGNMENT));
    }
    gaps
}

/// A place for each request: those that grow in the largest gap there is, the others in the first
/// one that has room, all of a gap in their order.
///
/// # Errors
/// The number of a request for which there is no room.
pub(super) fn place(requests: &[Request], gaps: &[Extent]) -> Result<Vec<Extent>, usize> {
    let mut free: Vec<u64> = gaps.iter().map(|gap| gap.length).collect();
    let mut gap_of = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        let with_room =
            |(gap, room): (usize, &u64)| (*room >= request.least).then_some((*room, gap));
        let mut found = free.iter().enumerate().filter_map(with_room);
        let found = match request.grows() {
            // Of several that are equal the first one.
            true => found.max_by_key(|(room, gap)| (*room, std::cmp::Reverse(*gap))),
            false => found.next(),
        };
        let (_, gap) = found.ok_or(at)?;
        free[gap] -= request.least;
        gap_of.push(gap);
    }
    let mut sizes: Vec<u64> = requests.iter().map(|request| request.least).collect();
    for (gap, free) in free.iter().enumerate() {
        let growing = (0..requests.len()).filter(|at| gap_of[*at] == gap && requests[*at].grows());
        grow(&mut sizes, requests, &growing.collect::<Vec<_>>(), *free);
    }
    let mut next: Vec<u64> = gaps.iter().map(|gap| gap.start).collect();
    let at_its_place = |(gap, length): (&usize, u64)| {
        let start = next[*gap];
        next[*gap] += length;
        Extent { start, length }
    };
    Ok(gap_of.iter().zip(sizes).map(at_its_place).collect())
}

/// Shares what is free evenly, as far as each may grow.
fn grow(sizes: &mut [u64], requests: &[Request], growing: &[usize], mut free: u64) {
    loop {
        let open: Vec<usize> =
            growing.iter().copied().filter(|at| sizes[*at] < requests[*at].most).collect();
        let Some(count) = u64::try_from(open.len()).ok().filter(|count| *count > 0) else { return };
        // The first ones get what does not divide.
        let share = (free / count / ALIGNMENT * ALIGNMENT).max(ALIGNMENT);
        for at in open {
            let more = share.min(requests[at].most - sizes[at]).min(free / ALIGNMENT * ALIGNMENT);
            sizes[at] += more;
            free -= more;
        }
        if free < ALIGNMENT {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn fixed(mib: u64) -> Request {
        Request { least: mib * MIB, most: mib * MIB }
    }

    fn growing(least: u64, most: u64) -> Request {
        Request { least: least * MIB, most: most * MIB }
    }

    /// Places in MiB, as `1+10 11+89`.
    fn check(requests: &[Request], gaps: &[(u64, u64)], expected: Result<&str, usize>) {
        let gaps: Vec<_> = gaps
            .iter()
            .map(|(start, length)| Extent { start: start * MIB, length: length * MIB })
            .collect();
        let placed = place(requests, &gaps).map(|places| {
            let words: Vec<_> =
                places.iter().map(|it| format!("{}+{}", it.start / MIB, it.length / MIB)).collect();
            words.join(" ")
        });
        assert_eq!(placed.as_deref().map_err(|at| *at), expected);
    }

    #[test]
    fn partitions_follow_each_other_and_what_grows_takes_the_rest() {
        check(&[fixed(10), fixed(20), growing(5, 1000)], &[(1, 98)], Ok("1+10 11+20 31+68"));
        check(&[growing(5, 1000), growing(5, 1000)], &[(1, 31)], Ok("1+16 17+15"));
        check(&[growing(5, 8), growing(5, 1000)], &[(1, 31)], Ok("1+8 9+23"));
    }

    #[test]
    fn what_grows_goes_where_the_most_room_is() {
        check(&[fixed(10), growing(5, 1000)], &[(1, 12), (50, 30)], Ok("1+10 50+30"));
    }

    #[test]
    fn what_has_no_room_is_told() {
        check(&[fixed(10), fixed(5)], &[(1, 12)], Err(1));
        check(&[fixed(10)], &[], Err(0));
    }

    #[test]
    fn gaps_are_what_stays_leaves_free() {
        let kept = |start: u64, length| Extent { start: start * MIB, length };
        let found = gaps(100 * MIB, &[kept(50, 10 * MIB + 7), kept(1, 9 * MIB)]);
        let expected = [(10, 40), (61, 38)]
            .map(|(start, length)| Extent { start: start * MIB, length: length * MIB });
        assert_eq!(found, expected);
        assert_eq!(gaps(100 * MIB, &[]), [Extent { start: MIB, length: 98 * MIB }]);
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_everything_has_what_it_asked_for(
            asked in proptest::collection::vec((1..50u64, 0..100u64), 0..6),
            kept in proptest::collection::vec((1..500u64, 1..30 * MIB), 0..4),
            size in 10 * MIB..600 * MIB,
        ) {
            let requests: Vec<_> =
                asked.iter().map(|(least, more)| growing(*least, least + more)).collect();
            let kept: Vec<_> =
                kept.iter().map(|(start, length)| Extent { start: start * MIB, length: *length }).collect();
            let gaps = gaps(size, &kept);
            if let Ok(places) = place(&requests, &gaps) {
                let mut all: Vec<Extent> = places.iter().chain(&kept).copied().collect();
                all.sort_by_key(|it| it.start);
                for (place, request) in places.iter().zip(&requests) {
                    prop_assert!((request.least..=request.most).contains(&place.length));
                    prop_assert!(place.start.is_multiple_of(MIB) && place.length.is_multiple_of(MIB));
                    prop_assert!(place.start >= MIB && place.end() + MIB <= size);
                    prop_assert!(kept.iter().all(|it| it.end() <= place.start || it.start >= place.end()));
                }
                let mut sorted = places.clone();
                sorted.sort_by_key(|it| it.start);
                prop_assert!(sorted.windows(2).all(|two| two[0].end() <= two[1].start));
            }
        }
    }
}
