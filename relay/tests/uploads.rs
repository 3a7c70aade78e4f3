//! A file that comes in pieces, with requests that are cut, come twice or at once, and a process that ends
//! between any two of its acts: what R2 has in the end is the file, and what the object says of how far it
//! is was true all along.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use estafette_protocol::limits::{MEDIA_PART_BYTES, UPLOAD_LIFE};
use estafette_protocol::{MediaId, Millis};
use estafette_relay::{
    Begun, Fragment, Part, Piece, Standing, Step, Upload, UploadAnswer, UploadEffect, UploadRequest,
};
use support::{Db, NOON};

const MEDIA: MediaId = MediaId(7);
/// Bytes are told apart by where they come from: a stretch of the file, as brought by some request.
type Stretch = (u64, u64, u32);

/// One upload's object, and what R2 has of it.
struct Scene {
    now: Millis,
    db: Db,
    upload: Option<Upload<Db>>,
    fails_in: Rc<Cell<Option<u64>>>,
    alarm: Option<Millis>,
    forgotten: bool,
    abandoned: Vec<UploadEffect>,
    length: u64,
    parts: BTreeMap<u16, (String, Vec<Stretch>)>,
    fragments: BTreeMap<u64, Vec<Stretch>>,
    file: Option<Vec<Stretch>>,
    names: u64,
    requests: u32,
}

impl Scene {
    fn new(length: u64) -> Self {
        let fails_in = Rc::default();
        let mut scene = Self {
            now: NOON,
            db: Db::new(Rc::clone(&fails_in)),
            upload: None,
            fails_in,
            alarm: None,
            forgotten: false,
            abandoned: Vec::new(),
            length,
            parts: BTreeMap::new(),
            fragments: BTreeMap::new(),
            file: None,
            names: 0,
            requests: 0,
        };
        let multipart = (length > MEDIA_PART_BYTES).then(|| "multipart".to_owned());
        let expires_at = NOON + UPLOAD_LIFE;
        let create =
            UploadRequest::Create { media: MEDIA, length, expires_at, multipart, metadata: None };
        assert!(matches!(scene.ask(create), UploadAnswer::Standing(_)));
        assert_eq!(scene.alarm, Some(expires_at));
        scene
    }

    /// `None`: its storage failed.
    fn try_ask(&mut self, request: UploadRequest) -> Option<UploadAnswer> {
        let db = self.db.clone();
        let outcome = db.whole(|| {
            let upload = match self.upload.take() {
                Some(upload) => upload,
                None => Upload::wake(db.clone())?,
            };
            self.upload.insert(upload).on_request(self.now, request)
        });
        let (answer, effects) = match outcome {
            Ok(done) => done,
            Err(error) => {
                assert!(db.was_made_to_fail(&error), "{error}");
                self.upload = None;
                return None;
            }
        };
        for effect in effects {
            self.perform(effect);
        }
        Some(answer)
    }

    fn ask(&mut self, request: UploadRequest) -> UploadAnswer {
        self.try_ask(request).unwrap()
    }

    fn perform(&mut self, effect: UploadEffect) {
        match effect {
            UploadEffect::Alarm(at) => {
                assert_eq!(self.alarm, None, "it is set once");
                self.alarm = Some(at);
            }
            UploadEffect::Forget => {
                self.db.query("DROP TABLE IF EXISTS upload");
                (self.forgotten, self.alarm, self.upload) = (true, None, None);
            }
            UploadEffect::Abandon { .. } => self.abandoned.push(effect),
        }
    }

    fn evict(&mut self) {
        self.upload = None;
    }

    fn look(&mut self) -> Standing {
        match self.ask(UploadRequest::Look) {
            UploadAnswer::Standing(standing) => standing,
            other => panic!("{other:?}"),
        }
    }

    fn begin(&mut self, offset: u64, bytes: u64) -> Begun {
        match self.ask(UploadRequest::Begin { offset, bytes }) {
            UploadAnswer::Begun { begun, .. } => begun,
            other => panic!("{other:?}"),
        }
    }

    fn before(&self, fragments: &[Fragment]) -> Vec<Stretch> {
        fragments.iter().flat_map(|fragment| self.fragments[&fragment.name].clone()).collect()
    }

    /// Puts a step's bytes into R2, and says which piece they are.
    fn store(
        &mut self,
        step: Step,
        fragments: &[Fragment],
        offset: u64,
        request: u32,
    ) -> (Piece, u64) {
        self.names += 1;
        let name = self.names;
        let before = self.before(fragments);
        let joined = |bytes| [before, vec![(offset, offset + bytes, request)]].concat();
        match step {
            Step::Whole { bytes } => {
                // The first that comes stays.
                self.file.get_or_insert(joined(bytes));
                (Piece::Whole, bytes)
            }
            Step::Part { number, bytes } => {
                let etag = format!("etag {name}");
                self.parts.insert(number, (etag.clone(), joined(bytes)));
                (Piece::Part(Part { number, etag }), bytes)
            }
            Step::Fragment { bytes } => {
                self.fragments.insert(name, vec![(offset, offset + bytes, request)]);
                (Piece::Fragment(Fragment { name, bytes }), bytes)
            }
            Step::Merge { bytes } => {
                self.fragments.insert(name, joined(bytes));
                (Piece::Merged(Fragment { name, bytes }), bytes)
            }
        }
    }

    fn commit(&mut self, offset: u64, pieces: Vec<Piece>) -> Option<UploadAnswer> {
        let answer = self.try_ask(UploadRequest::Commit { offset, pieces })?;
        if let UploadAnswer::Committed(standing) = &answer {
            for name in &standing.garbage {
                self.fragments.remove(name).unwrap();
            }
        }
        Some(answer)
    }

    /// A request that brings `bytes`, and is cut after `cut` of them.
    fn bring(&mut self, bytes: u64, cut: u64) {
        self.requests += 1;
        let request = self.requests;
        let mut offset = self.look().offset;
        let begun = self.begin(offset, bytes);
        let mut fragments = begun.fragments;
        let mut left = cut;
        for step in begun.steps {
            let bytes = bytes_of(step);
            let step = if bytes <= left { step } else { Step::Fragment { bytes: left } };
            if bytes_of(step) == 0 {
                return;
            }
            let (piece, stored) = self.store(step, &fragments, offset, request);
            let Some(UploadAnswer::Committed(standing)) = self.commit(offset, vec![piece]) else {
                return;
            };
            offset += stored;
            assert_eq!(standing.offset, offset);
            left -= stored;
            fragments.clear();
        }
        self.settle();
    }

    /// As R2 puts parts together, if the object says that all are there.
    fn settle(&mut self) {
        let Some(UploadAnswer::Standing(standing)) = self.try_ask(UploadRequest::Look) else {
            return;
        };
        let Some(finish) = standing.finish else { return };
        if self.file.is_none() {
            let mut numbers = finish.parts.iter().map(|part| part.number);
            assert!(
                numbers.clone().is_sorted() && numbers.all(|number| (1..=10_000).contains(&number))
            );
            let parts = finish.parts.iter().map(|part| {
                let (etag, stretches) = &self.parts[&part.number];
                assert_eq!(*etag, part.etag, "a part that was committed is never written again");
                stretches.clone()
            });
            self.file = Some(parts.flatten().collect());
        }
        self.try_ask(UploadRequest::Completed);
    }

    /// The file is all there, in order, each byte once.
    fn is_complete(&self) {
        let mut offset = 0;
        for &(from, to, _) in self.file.as_ref().unwrap() {
            assert_eq!(from, offset);
            offset = to;
        }
        assert_eq!(offset, self.length);
        assert!(self.forgotten && self.alarm.is_none());
        assert!(self.fragments.is_empty(), "{:?}", self.fragments.keys());
    }
}

fn bytes_of(step: Step) -> u64 {
    match step {
        Step::Whole { bytes }
        | Step::Part { bytes, .. }
        | Step::Fragment { bytes }
        | Step::Merge { bytes } => bytes,
    }
}

const LENGTHS: [u64; 5] = [
    1,
    MEDIA_PART_BYTES - 1,
    MEDIA_PART_BYTES,
    MEDIA_PART_BYTES + 1,
    3 * MEDIA_PART_BYTES + 12_345,
];

#[test]
fn one_request_brings_all() {
    for length in LENGTHS {
        let mut scene = Scene::new(length);
        let begun = scene.begin(0, length);
        let parts = length.div_ceil(MEDIA_PART_BYTES) as u32;
        let joins = u32::from(length > MEDIA_PART_BYTES);
        assert_eq!(begun.work.writes, parts + joins, "each part, and putting them together");
        assert_eq!(begun.work.reads, 0);
        scene.bring(length, length);
        scene.is_complete();
    }
}

#[test]
fn it_comes_in_pieces_of_any_size() {
    for length in LENGTHS {
        for size in [1 + length / 300, 65_536, 3_000_000, MEDIA_PART_BYTES, 20_000_000] {
            let mut scene = Scene::new(length);
            let mut most = 0;
            while scene.file.is_none() {
                let offset = scene.look().offset;
                scene.bring(size.min(length - offset), u64::MAX);
                most = most.max(scene.fragments.len());
            }
            scene.is_complete();
            assert!(most <= 65, "{most} fragments of one part");
        }
    }
}

#[test]
fn a_cut_loses_nothing_that_arrived() {
    let length = 2 * MEDIA_PART_BYTES + 1000;
    for cuts in [
        &[1, 2, 3][..],
        &[MEDIA_PART_BYTES - 1, 1, MEDIA_PART_BYTES],
        &[MEDIA_PART_BYTES + 5, 5, 0, 7],
        &[2 * MEDIA_PART_BYTES + 999],
    ] {
        let mut scene = Scene::new(length);
        let mut arrived = 0;
        for &cut in cuts {
            scene.bring(length - arrived, cut);
            arrived += cut;
            scene.evict();
            assert_eq!(scene.look().offset, arrived);
        }
        scene.bring(length - arrived, u64::MAX);
        scene.is_complete();
    }
}

#[test]
fn of_two_requests_at_once_one_wins_and_the_other_is_told() {
    let length = 2 * MEDIA_PART_BYTES;
    for quick_first in [true, false] {
        let mut scene = Scene::new(length);
        let first = scene.begin(0, length);
        let second = scene.begin(0, length);
        let (quick, slow) = if quick_first { (first, second) } else { (second, first) };
        let (won, _) = scene.store(quick.steps[0], &[], 0, 1);
        let (lost, _) = scene.store(slow.steps[0], &[], 0, 2);
        assert_ne!(won, lost);
        let committed = scene.commit(0, vec![won]).unwrap();
        assert!(matches!(committed, UploadAnswer::Committed(_)));
        let refused = scene.commit(0, vec![lost]).unwrap();
        assert!(matches!(refused, UploadAnswer::Standing(at) if at.offset == MEDIA_PART_BYTES));
        let (second, _) = scene.store(quick.steps[1], &[], MEDIA_PART_BYTES, 1);
        // The slow one goes on as if nothing were, and writes under a name of its own.
        scene.store(slow.steps[1], &[], MEDIA_PART_BYTES, 2);
        scene.commit(MEDIA_PART_BYTES, vec![second]).unwrap();
        scene.settle();
        let all = [(0, MEDIA_PART_BYTES, 1), (MEDIA_PART_BYTES, length, 1)];
        assert_eq!(scene.file, Some(all.to_vec()), "not a mixture");
        scene.is_complete();
    }
}

#[test]
fn nobody_is_told_that_all_is_there_before_it_is() {
    let length = MEDIA_PART_BYTES + 1;
    let mut scene = Scene::new(length);
    let begun = scene.begin(0, length);
    let mut offset = 0;
    for step in begun.steps {
        let (piece, bytes) = scene.store(step, &[], offset, 1);
        scene.commit(offset, vec![piece]).unwrap();
        offset += bytes;
    }
    // The process ends here. Whoever asks next lets R2 put it together first.
    scene.evict();
    for request in [UploadRequest::Look, UploadRequest::Begin { offset: length, bytes: 0 }] {
        let UploadAnswer::Standing(standing) = scene.ask(request) else { panic!() };
        assert_eq!(standing.finish.unwrap().parts.len(), 2);
    }
    scene.settle();
    scene.is_complete();
    assert_eq!(scene.ask(UploadRequest::Look), UploadAnswer::Unknown);
}

#[test]
fn what_does_not_follow_changes_nothing() {
    let mut scene = Scene::new(3 * MEDIA_PART_BYTES);
    scene.bring(100, 100);
    let at = scene.look();
    assert_eq!(
        scene.ask(UploadRequest::Begin { offset: 99, bytes: 1 }),
        UploadAnswer::Standing(at.clone())
    );
    let long = UploadRequest::Begin { offset: 100, bytes: 3 * MEDIA_PART_BYTES - 99 };
    assert_eq!(scene.ask(long), UploadAnswer::TooLong);
    let part = |number| Piece::Part(Part { number, etag: String::new() });
    let fragment = |bytes| Piece::Fragment(Fragment { name: 9, bytes });
    for pieces in [
        vec![Piece::Whole],
        vec![part(40)],
        vec![part(1), part(1)],
        vec![fragment(0)],
        vec![fragment(MEDIA_PART_BYTES - 100)],
        vec![fragment(1), Piece::Whole],
        vec![part(1), part(40), part(79), part(118)],
    ] {
        let commit = UploadRequest::Commit { offset: 100, pieces: pieces.clone() };
        assert_eq!(scene.ask(commit), UploadAnswer::Impossible, "{pieces:?}");
    }
    assert_eq!(scene.look(), at);
}

#[test]
fn it_can_be_ended() {
    let mut scene = Scene::new(2 * MEDIA_PART_BYTES);
    scene.bring(10, 10);
    let ended = scene.ask(UploadRequest::Terminate);
    let multipart = Some("multipart".to_owned());
    assert_eq!(ended, UploadAnswer::Ended { multipart, garbage: vec![1] });
    assert!(scene.forgotten && scene.alarm.is_none());
    for request in [
        UploadRequest::Look,
        UploadRequest::Begin { offset: 10, bytes: 1 },
        UploadRequest::Commit { offset: 10, pieces: vec![] },
        UploadRequest::Completed,
        UploadRequest::Terminate,
    ] {
        assert_eq!(scene.ask(request), UploadAnswer::Unknown);
    }
    assert_eq!(scene.db.query("SELECT 1 FROM sqlite_master").len(), 0, "nothing is left");
}

#[test]
fn its_time_is_over_after_a_day() {
    let mut scene = Scene::new(2 * MEDIA_PART_BYTES);
    scene.bring(10, 10);
    let alarm = scene.alarm.unwrap();
    scene.now = alarm - 1;
    assert_eq!(scene.look().offset, 10);
    scene.now = alarm;
    assert_eq!(scene.ask(UploadRequest::Look), UploadAnswer::Unknown, "be the alarm late or not");
    scene.evict();
    let mut upload = Upload::wake(scene.db.clone()).unwrap();
    let (media, multipart) = (MEDIA, Some("multipart".to_owned()));
    let abandon = UploadEffect::Abandon { media, multipart, fragments: vec![1] };
    assert_eq!(upload.on_alarm(), [abandon, UploadEffect::Forget]);
}

/// The whole story with a statement that fails, each in turn: what was not committed is brought again.
#[test]
fn a_statement_that_fails_undoes_its_step() {
    let length = 2 * MEDIA_PART_BYTES + 77;
    let mut failed = 0;
    for at in 0.. {
        let mut scene = Scene::new(length);
        scene.fails_in.set(Some(at));
        let mut rounds = 0;
        while scene.file.is_none() || !scene.forgotten {
            rounds += 1;
            assert!(rounds < 50, "there is an end to it");
            scene.evict();
            match scene.try_ask(UploadRequest::Look) {
                Some(UploadAnswer::Standing(standing)) => {
                    let bytes = (length - standing.offset).min(3_000_000);
                    let begin = UploadRequest::Begin { offset: standing.offset, bytes };
                    let Some(UploadAnswer::Begun { begun, .. }) = scene.try_ask(begin) else {
                        scene.settle();
                        continue;
                    };
                    let mut offset = standing.offset;
                    let mut fragments = begun.fragments;
                    for step in begun.steps {
                        let (piece, stored) = scene.store(step, &fragments, offset, rounds);
                        if scene.commit(offset, vec![piece]).is_none() {
                            // R2 has a fragment that nobody will ask for: the hourly job finds it.
                            scene.fragments.retain(|&name, _| name != scene.names);
                            break;
                        }
                        offset += stored;
                        fragments.clear();
                    }
                    scene.settle();
                }
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
        scene.is_complete();
        if scene.fails_in.get().is_some() {
            break;
        }
        failed += 1;
    }
    assert!(failed > 20, "{failed} statements were made to fail");
}
