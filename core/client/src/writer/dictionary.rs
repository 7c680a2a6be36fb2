//! Which series are defined on a connection. Begins anew with every connection.
//!
//! A series has the place of its number in the dictionary, so that columns are sent as they are. Where there are more
//! series than places, several share one, and from then on each frame defines all its series: a frame that the server had
//! no room for may take its definitions with it, and what follows would be stored under the series that had the place
//! before. Without sharing, what follows names a place that is not defined, and is refused.

use std::collections::HashMap;

/// What each place of the dictionary is defined as.
#[derive(Debug)]
pub(super) struct Dictionary {
    places_max: usize,
    /// Per series, whether it is defined.
    defined: Vec<bool>,
    /// Whether series have shared places.
    shared: bool,
}

/// Two series of one batch share a place. Can only be where a server takes fewer places than it did when the batch was
/// made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Collision;

/// What a frame has to say about its series.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Naming {
    /// Series to define, as (place, series).
    pub new: Vec<(u32, u32)>,
    /// Per run, the place of its series; `None` if the places are the series.
    pub places: Option<Vec<u32>>,
}

impl Dictionary {
    pub(super) fn new(places_max: u64) -> Self {
        // References have 32 bits.
        let places_max = usize::try_from(places_max.clamp(1, u64::from(u32::MAX))).unwrap_or(usize::MAX);
        Self { places_max, defined: Vec::new(), shared: false }
    }

    /// Takes note of the series of a frame that is about to be sent.
    pub(super) fn name(&mut self, refs: &[u32]) -> Result<Naming, Collision> {
        let highest = refs.iter().max().map_or(0, |highest| *highest as usize);
        if self.shared || highest >= self.places_max {
            self.shared = true;
            return name_shared(refs, self.places_max);
        }
        if self.defined.len() <= highest {
            self.defined.resize(highest + 1, false);
        }
        let mut naming = Naming::default();
        for series in refs {
            if !std::mem::replace(&mut self.defined[*series as usize], true) {
                naming.new.push((*series, *series));
            }
        }
        Ok(naming)
    }

    /// A frame with these series was not sent, or not understood: they are defined again with the next one.
    pub(super) fn forget(&mut self, refs: &[u32]) {
        for series in refs {
            if let Some(defined) = self.defined.get_mut(*series as usize) {
                *defined = false;
            }
        }
    }
}

fn name_shared(refs: &[u32], places_max: usize) -> Result<Naming, Collision> {
    let (mut new, mut places) = (Vec::new(), Vec::with_capacity(refs.len()));
    let mut holders = HashMap::with_capacity(refs.len());
    for series in refs {
        let place = (*series as usize % places_max) as u32;
        let holder = *holders.entry(place).or_insert_with(|| {
            new.push((place, *series));
            *series
        });
        if holder != *series {
            return Err(Collision);
        }
        places.push(place);
    }
    Ok(Naming { new, places: Some(places) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_defined_once() {
        let mut dictionary = Dictionary::new(10);
        let new = |new: &[(u32, u32)]| Ok(Naming { new: new.to_vec(), places: None });
        assert_eq!(dictionary.name(&[3, 1, 3]), new(&[(3, 3), (1, 1)]));
        assert_eq!(dictionary.name(&[1, 2]), new(&[(2, 2)]));
        dictionary.forget(&[1]);
        assert_eq!(dictionary.name(&[1, 2, 3]), new(&[(1, 1)]));
    }

    #[test]
    fn series_share_places_where_there_are_too_many() {
        let mut dictionary = Dictionary::new(4);
        assert_eq!(dictionary.name(&[1]).unwrap().new, [(1, 1)]);
        let shared = |new: &[(u32, u32)], places: &[u32]| {
            Ok(Naming { new: new.to_vec(), places: Some(places.to_vec()) })
        };
        assert_eq!(dictionary.name(&[5, 2, 5]), shared(&[(1, 5), (2, 2)], &[1, 2, 1]));
        assert_eq!(
            dictionary.name(&[2, 1]),
            shared(&[(2, 2), (1, 1)], &[2, 1]),
            "all, in every frame from now on"
        );
        assert_eq!(dictionary.name(&[1, 5]), Err(Collision));
    }
}
