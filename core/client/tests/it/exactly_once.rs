//! Whatever is cut, delayed, refused or answered out of order: in the end every sample is stored exactly once, under its
//! own series and time, or told as rejected.
//!
//! The server here is a model of the one thing that matters: it remembers which samples of which batch of which client it
//! has, as long as a batch says that it is sent again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use sereno_client::messages::{Code, Error, Limits, Reason, Rejection, Write, Written, response};
use sereno_client::{Full, Writer, WriterConfig};
use sereno_model::{SeriesKey, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fake::{LIMITS, Peer, patient, serve, spawn, text};

/// What a server does to a batch. Faults run out, so that every story ends.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Store,
    /// Refuse every so many, for now.
    RefuseSome(u32),
    /// Before its definitions were read.
    Overloaded,
    /// After it was stored.
    Unknown,
    /// Store, and say so after the next ones.
    Later,
    /// Store, and hang up.
    HangUp,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => Just(Deed::Store),
        2 => (1..4u32).prop_map(Deed::RefuseSome),
        1 => Just(Deed::Overloaded),
        1 => Just(Deed::Unknown),
        2 => Just(Deed::Later),
        1 => Just(Deed::HangUp),
    ]
}

#[derive(Default)]
struct Model {
    deeds: Vec<Deed>,
    /// What came of each batch, to see that it is always the same.
    batches: HashMap<(u64, u64), Samples>,
    /// Which samples of a batch are stored.
    places: HashSet<(u64, u64, usize)>,
    stored: Samples,
    /// What a client did that it must not.
    wrongs: Vec<String>,
}

/// Series, time if the client gave one, value.
type Samples = Vec<(String, Option<i64>, u64)>;

/// Never to be stored.
fn is_too_old(value: u64) -> bool {
    value % 17 == 5
}

impl Model {
    fn take(&mut self, client: u64, write: &Write, samples: &Samples, refuse_every: u32) -> Written {
        let key = (client, write.number);
        match self.batches.insert(key, samples.clone()) {
            Some(_) if !write.resent => self.wrongs.push(format!("batch {key:?} twice as a new one")),
            Some(before) if before != *samples => self.wrongs.push(format!("batch {key:?} has changed")),
            _ => {}
        }
        let mut written = Written { retry_after_ms: 1, ..Written::default() };
        let reject = |reason: Reason, retry, place: usize| Rejection {
            reason: reason.into(),
            retry,
            spans: vec![place as u32, 1],
            message: "no".into(),
        };
        for (place, sample) in samples.iter().enumerate() {
            if write.resent && self.places.contains(&(client, write.number, place)) {
                written.stored += 1;
            } else if is_too_old(sample.2) {
                written.rejected.push(reject(Reason::TooOld, false, place));
            } else if refuse_every > 0 && (place as u32).is_multiple_of(refuse_every) {
                written.rejected.push(reject(Reason::QueueFull, true, place));
            } else {
                self.places.insert((client, write.number, place));
                self.stored.push(sample.clone());
                written.stored += 1;
            }
        }
        written
    }
}

async fn play(mut peer: Peer, model: Arc<Mutex<Model>>, limits: Limits) -> io::Result<()> {
    let client = peer.welcome_with(limits).await?.client_id;
    let mut dictionary = HashMap::new();
    let mut later = Vec::new();
    loop {
        // What was put off is said when there is nothing else to do.
        let next = tokio::time::timeout(Duration::from_millis(2), peer.batch()).await;
        let Ok(next) = next else {
            for (id, written) in std::mem::take(&mut later).into_iter().rev() {
                peer.answer(id, response::Body::Written(written)).await?;
            }
            continue;
        };
        let (id, write) = next?;
        let deed = model.lock().unwrap().deeds.pop().unwrap_or(Deed::Store);
        if let Deed::Overloaded = deed {
            let error = Error { code: Code::Overloaded.into(), retry_after_ms: 1, ..Error::default() };
            peer.error(id, error).await?;
            continue;
        }
        for definition in &write.series {
            dictionary.insert(definition.r#ref, text(definition));
        }
        let Some(samples) = samples(&write, &dictionary) else {
            peer.error(id, Error { code: Code::Invalid.into(), ..Error::default() }).await?;
            continue;
        };
        let refuse_every = if let Deed::RefuseSome(every) = deed { every } else { 0 };
        let mut written = model.lock().unwrap().take(client, &write, &samples, refuse_every);
        match deed {
            Deed::HangUp => return Ok(()),
            Deed::Later => {
                later.push((id, written));
                continue;
            }
            Deed::Unknown => written.unknown = true,
            _ => {}
        }
        peer.answer(id, response::Body::Written(written)).await?;
    }
}

/// The samples of a batch; `None` if a series is not defined.
fn samples(write: &Write, dictionary: &HashMap<u32, String>) -> Option<Samples> {
    let ones = vec![1; write.refs.len()];
    let counts = if write.counts.is_empty() { &ones } else { &write.counts };
    let runs = write.refs.iter().zip(counts);
    let series = runs.flat_map(|(reference, count)| std::iter::repeat_n(reference, *count as usize));
    let unit = write.time_unit.max(1) as i64;
    let mut sum = 0;
    let times: Vec<i64> = write.times.iter().map(|time| (sum += time, sum).1 * unit).collect();
    let time = |place: usize| if times.len() == 1 { times.first() } else { times.get(place) }.copied();
    let samples = series.zip(&write.values).enumerate();
    samples
        .map(|(place, (series, value))| Some((dictionary.get(series)?.clone(), time(place), *value as u64)))
        .collect()
}

/// Hands bytes on, and hangs up after so many of them, for one connection per number; then hands all on.
async fn proxy(server: String, mut cuts: Vec<(usize, usize)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let cut = cuts.pop().unwrap_or((usize::MAX, usize::MAX));
            let server = server.clone();
            spawn(async move { drop(hand_on(client, server, cut).await) });
        }
    });
    address
}

async fn hand_on(mut client: TcpStream, server: String, cut: (usize, usize)) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        up = hand_on_some(&mut from_client, &mut to_server, cut.0) => up,
        down = hand_on_some(&mut from_server, &mut to_client, cut.1) => down,
    }
}

async fn hand_on_some(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut left: usize,
) -> io::Result<()> {
    let mut buffer = [0; 4_096];
    while left > 0 {
        let room = left.min(buffer.len());
        let read = from.read(&mut buffer[..room]).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
        left -= read;
    }
    Ok(())
}

#[derive(Clone, Debug)]
struct Story {
    /// Per call: how many samples, whether they have times.
    pushes: Vec<(usize, bool)>,
    series: usize,
    deeds: Vec<Deed>,
    /// Per connection, after how many bytes it is cut, up and down.
    cuts: Vec<(usize, usize)>,
    batch_samples: usize,
    in_flight_batches: usize,
    buffer_samples: usize,
    dictionary_len_max: u64,
}

fn story() -> impl Strategy<Value = Story> {
    let cut = (60..4_000usize, prop_oneof![60..400usize, Just(usize::MAX)]);
    (
        prop::collection::vec((1..60usize, any::<bool>()), 1..25),
        1..12usize,
        prop::collection::vec(deed(), 0..40),
        prop::collection::vec(cut, 0..6),
        1..30usize,
        1..8usize,
        1..200usize,
        prop_oneof![Just(1_000u64), 3..12u64],
    )
        .prop_map(|(pushes, series, deeds, cuts, batch, in_flight, buffer, dictionary)| Story {
            pushes,
            series,
            deeds,
            cuts,
            batch_samples: batch,
            in_flight_batches: in_flight,
            buffer_samples: buffer,
            dictionary_len_max: dictionary,
        })
}

async fn tell(story: Story) {
    let model = Arc::new(Mutex::new(Model { deeds: story.deeds, ..Model::default() }));
    let (played, limits) =
        (Arc::clone(&model), Limits { dictionary_len_max: story.dictionary_len_max, ..LIMITS });
    let server = serve(move |_, peer| play(peer, Arc::clone(&played), limits)).await;
    let address = proxy(server, story.cuts).await;

    let rejected = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&rejected);
    let config = WriterConfig {
        batch_samples: story.batch_samples,
        in_flight_batches: story.in_flight_batches,
        buffer_samples: story.buffer_samples,
        linger: Duration::from_millis(1),
        pause_max: Duration::from_millis(1),
        full: Full::Block,
        on_rejected: Some(Arc::new(move |rejected| {
            told.lock().unwrap().push((rejected.tag, rejected.value as u64))
        })),
        ..WriterConfig::default()
    };
    // The first connection has to succeed, so it is tried until it does.
    let writer = loop {
        if let Ok(writer) = Writer::connect(patient(&address), config.clone()).await {
            break writer;
        }
    };
    let keys: Vec<_> = (0..story.series)
        .map(|number| SeriesKey::new("m", [("n", "x".repeat(number + 1))]).unwrap())
        .collect();
    let mut expected = Vec::new();
    let mut value = 0;
    for (count, stamped) in story.pushes {
        let (mut samples, mut tags) = (Vec::new(), Vec::new());
        for place in 0..count {
            let key = &keys[(value as usize * 7 + place / 3) % keys.len()];
            let time = stamped.then(|| Timestamp::from_nanos(1_000 * value as i64));
            samples.push((writer.series(key), time, value as f64));
            tags.push(value + 1_000_000);
            expected.push((key.to_string(), time.map(Timestamp::nanos), value));
            value += 1;
        }
        writer.push_all_tagged(&samples, &tags).await.unwrap();
    }
    let counters = writer.close().await;

    let model = model.lock().unwrap();
    assert_eq!(model.wrongs, [""; 0]);
    let (too_old, expected): (Vec<_>, Vec<_>) = expected.into_iter().partition(|sample| is_too_old(sample.2));
    let mut stored = model.stored.clone();
    stored.sort_by_key(|sample| sample.2);
    assert_eq!(stored, expected);
    let mut rejected = rejected.lock().unwrap().clone();
    rejected.sort_unstable();
    let too_old: Vec<_> = too_old.iter().map(|sample| (sample.2 + 1_000_000, sample.2)).collect();
    assert_eq!(rejected, too_old);
    assert_eq!(
        (counters.pushed, counters.stored, counters.rejected, counters.dropped, counters.unknown),
        (value, expected.len() as u64, too_old.len() as u64, 0, 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_sample_is_stored_exactly_once(story in story()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(tell(story));
    }
}
