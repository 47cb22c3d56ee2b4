//! Lists in order. What the standard library sorts a list with is 5 KB of code for each kind of thing in it, and longer
//! than all that is done with most lists here; what is sorted here is their places, which are all of one kind. For many
//! thousand things `sort` is faster.

use std::cmp::Ordering;

/// By what `compare` says; what is equal to it stays in the order it was in.
pub fn by<T>(list: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let mut places: Vec<usize> = (0..list.len()).collect();
    sort(&mut places, &|a, b| compare(&list[a], &list[b]));
    let mut things: Vec<Option<T>> = std::mem::take(list).into_iter().map(Some).collect();
    // Each place comes once, so that nothing is left out.
    list.extend(places.into_iter().filter_map(|place| things[place].take()));
}

/// By a key of each; what has the same one stays in the order it was in.
pub fn by_key<T, K: Ord>(list: &mut Vec<T>, key: impl Fn(&T) -> K) {
    by(list, |a, b| key(a).cmp(&key(b)));
}

fn sort(places: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_by(|a, b| compare(*a, *b));
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    #[test]
    fn lists_are_ordered_as_the_standard_library_does_it() {
        // Enough of them for each of its ways to sort; many are equal (Lehmer's generator).
        let numbers = std::iter::successors(Some(1u64), |last| Some(last * 48271 % 0x7fff_ffff));
        let all: Vec<(u64, usize)> =
            numbers.zip(0..).map(|(number, at)| (number % 97, at)).take(1000).collect();
        for length in [0, 1, 2, 3, 20, 21, 50, 1000] {
            let mut want = all[..length].to_vec();
            let (mut upwards, mut downwards) = (want.clone(), want.clone());
            want.sort_by_key(|(number, _)| *number);
            super::by_key(&mut upwards, |(number, _)| *number);
            assert_eq!(upwards, want);
            want = all[..length].to_vec();
            want.sort_by_key(|(number, _)| Reverse(*number));
            super::by(&mut downwards, |a, b| b.0.cmp(&a.0));
            assert_eq!(downwards, want);
        }
    }
}
