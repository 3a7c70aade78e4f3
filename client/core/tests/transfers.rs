//! Uploads and downloads against a server that loses, repeats and forgets: they come to an end, with
//! the file there whole, or with a reason.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ops::Range;

use estafette_core::media::{
    Answer, Download, DownloadStep, Layout, TransferError, Upload, UploadStep,
};
use estafette_protocol::http::Problem;
use estafette_protocol::{ErrorCode, MediaId};
use proptest::collection::vec;
use proptest::prelude::*;

const ID: u128 = 0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0;
const LOCATION: &str = "https://chat.example/v1/uploads/0f1e2d3c4b5a69788796a5b4c3d2e1f0-5f3a_tag~";
const PATH: &str = "/v1/uploads/0f1e2d3c4b5a69788796a5b4c3d2e1f0-5f3a_tag~";
const MIB: u64 = 1024 * 1024;

fn layout(size: u64) -> Layout {
    Layout::of_size(size).unwrap()
}

fn status(status: u16) -> Answer {
    Answer { status, ..Answer::default() }
}

fn offset(offset: u64) -> Answer {
    Answer { offset: Some(offset), ..status(204) }
}

fn created(offset: Option<u64>) -> Answer {
    Answer { location: Some(LOCATION.into()), offset, ..status(201) }
}

fn refused(code: ErrorCode, retry_after: Option<u64>) -> Answer {
    let problem = Problem { error: code, message: "No.".into(), retry_after };
    Answer { problem: Some(problem), ..status(code.status()) }
}

/// The next step that is no wait.
fn act(upload: &mut Upload) -> UploadStep {
    match upload.step() {
        UploadStep::Wait(_) => upload.step(),
        step => step,
    }
}

/// Answers a step that must be the one expected.
fn answer(upload: &mut Upload, step: &UploadStep, answer: Option<&Answer>) {
    assert_eq!(&act(upload), step);
    upload.on_answer(step, answer, 7).unwrap();
}

#[test]
fn a_small_file_takes_one_request() {
    let mut upload = Upload::new(layout(1000), None);
    answer(&mut upload, &UploadStep::Create(0..1016), Some(&created(Some(1016))));
    assert_eq!(upload.step(), UploadStep::Done(MediaId(ID)));
    assert_eq!((upload.path(), upload.reached()), (Some(PATH), 1016));
}

#[test]
fn a_large_file_is_created_first_and_sent_in_requests_that_are_not_too_long() {
    let layout = layout(100 * MIB);
    let sealed = layout.sealed();
    let mut upload = Upload::new(layout, None);
    answer(&mut upload, &UploadStep::Create(0..0), Some(&created(None)));
    answer(&mut upload, &UploadStep::Send(0..88 * MIB), Some(&offset(88 * MIB)));
    answer(&mut upload, &UploadStep::Send(88 * MIB..sealed), Some(&offset(sealed)));
    assert_eq!(upload.step(), UploadStep::Done(MediaId(ID)));
}

#[test]
fn it_goes_on_from_where_the_server_is() {
    let layout = layout(20 * MIB);
    let sealed = layout.sealed();
    let mut upload = Upload::new(layout, Some(PATH));
    answer(&mut upload, &UploadStep::Ask, Some(&Answer { length: Some(sealed), ..offset(5) }));
    answer(&mut upload, &UploadStep::Send(5..sealed), None);
    // Cut: it waits, and asks.
    assert!(matches!(upload.step(), UploadStep::Wait(250..=750)));
    answer(&mut upload, &UploadStep::Ask, Some(&offset(MIB)));
    assert_eq!(upload.reached(), MIB);
    answer(&mut upload, &UploadStep::Send(MIB..sealed), Some(&status(409)));
    answer(&mut upload, &UploadStep::Ask, Some(&offset(sealed)));
    assert_eq!(upload.step(), UploadStep::Done(MediaId(ID)));
}

#[test]
fn a_creation_that_was_cut_is_repeated_without_bytes() {
    let mut upload = Upload::new(layout(1000), None);
    answer(&mut upload, &UploadStep::Create(0..1016), None);
    answer(&mut upload, &UploadStep::Create(0..0), Some(&created(Some(0))));
    answer(&mut upload, &UploadStep::Send(0..1016), Some(&offset(1016)));
    assert_eq!(upload.step(), UploadStep::Done(MediaId(ID)));
}

#[test]
fn what_the_server_forgot_is_there_or_begins_again() {
    for gone in [404, 410] {
        let mut upload = Upload::new(layout(1000), Some(PATH));
        answer(&mut upload, &UploadStep::Ask, Some(&status(gone)));
        let there = Answer { length: Some(1016), ..status(200) };
        answer(&mut upload, &UploadStep::Look(MediaId(ID)), Some(&there));
        assert_eq!(upload.step(), UploadStep::Done(MediaId(ID)));

        let mut upload = Upload::new(layout(1000), Some(PATH));
        for round in 0..3 {
            answer(&mut upload, &UploadStep::Ask, Some(&status(gone)));
            answer(&mut upload, &UploadStep::Look(MediaId(ID)), Some(&status(404)));
            assert_eq!(upload.path(), None);
            if round == 0 {
                answer(&mut upload, &UploadStep::Create(0..1016), None);
            }
            answer(&mut upload, &UploadStep::Create(0..0), Some(&created(None)));
            answer(&mut upload, &UploadStep::Send(0..1016), None);
        }
        answer(&mut upload, &UploadStep::Ask, Some(&status(gone)));
        let look = act(&mut upload);
        assert!(upload.on_answer(&look, Some(&refused(ErrorCode::NotFound, None)), 7).is_err());
    }
}

#[test]
fn it_ends_when_the_server_means_it() {
    let steps = |answer: Answer| {
        let mut upload = Upload::new(layout(1000), None);
        let step = upload.step();
        upload.on_answer(&step, Some(&answer), 7)
    };
    for code in [ErrorCode::TooLarge, ErrorCode::TokenExpired, ErrorCode::Malformed] {
        let Err(TransferError::Refused(problem)) = steps(refused(code, None)) else {
            panic!("{code:?} was not the end");
        };
        assert_eq!(problem.error, code);
    }
    // A day is too long to wait, a second is not.
    let day = refused(ErrorCode::BudgetExhausted, Some(86_400_000));
    assert!(matches!(steps(day), Err(TransferError::Refused(_))));
    assert_eq!(steps(refused(ErrorCode::RateLimited, Some(1000))), Ok(()));
    assert_eq!(steps(status(302)), Err(TransferError::Unexpected(302)));
    assert_eq!(steps(created(Some(2000))), Err(TransferError::Unexpected(201)));
}

/// The token goes to the server that was chosen and nowhere else, and a name is no way out.
#[test]
fn a_location_is_a_name_below_uploads_or_nothing() {
    for location in [
        "",
        "/v1/media/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "/v1/uploads/",
        "/v1/uploads/0f1e",
        "/v1/uploads/0f1e2d3c4b5a69788796a5b4c3d2e1f0/../../devices",
        "/v1/uploads/0f1e2d3c4b5a69788796a5b4c3d2e1f0?x",
        "/v1/uploads/0F1E2D3C4B5A69788796A5B4C3D2E1F0",
        "/v1/uploads/zz1e2d3c4b5a69788796a5b4c3d2e1f0",
    ] {
        let mut upload = Upload::new(layout(1000), None);
        let step = upload.step();
        let answer = Answer { location: Some(location.into()), ..status(201) };
        let done = upload.on_answer(&step, Some(&answer), 7);
        assert_eq!(done, Err(TransferError::Unexpected(201)), "{location}");
    }
    let long = format!("{PATH}{}", "x".repeat(300));
    assert_eq!(Upload::new(layout(1), Some(&long)).path(), None);
}

#[test]
fn it_does_not_wait_for_ever() {
    let mut upload = Upload::new(layout(1000), Some(PATH));
    let (mut waited, mut asked) = (0, 0);
    let reason = loop {
        match upload.step() {
            UploadStep::Wait(wait) => waited += wait,
            step => {
                asked += 1;
                if let Err(reason) = upload.on_answer(&step, None, u64::MAX) {
                    break reason;
                }
            }
        }
    };
    assert_eq!((reason, asked), (TransferError::NoAnswer, 11));
    assert!((60_000..300_000).contains(&waited), "{waited} ms");
}

/// What a server may do with a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    /// So much of what came is kept, in thousandths, and the answer lost.
    Cut(u64),
    Busy,
    Forgotten,
}

struct Tus {
    sealed: u64,
    upload: Option<u64>,
    complete: bool,
}

impl Tus {
    fn take(&mut self, range: &Range<u64>) {
        // Every byte arrives in its place.
        assert_eq!(Some(range.start), self.upload);
        self.upload = Some(range.end);
        self.complete |= range.end == self.sealed;
    }

    fn answer(&mut self, step: &UploadStep, fate: Fate) -> Option<Answer> {
        if matches!(fate, Fate::Busy) {
            return Some(status(503));
        }
        if matches!(fate, Fate::Forgotten) && !matches!(step, UploadStep::Create(_)) {
            self.upload = None;
        }
        let kept = |range: &Range<u64>| match fate {
            Fate::Cut(kept) => range.start..range.start + (range.end - range.start) * kept / 1000,
            _ => range.clone(),
        };
        let answer = match step {
            UploadStep::Create(range) => {
                self.upload = Some(0);
                self.take(&kept(range));
                created(self.upload)
            }
            UploadStep::Ask => self.upload.map_or(status(404), offset),
            UploadStep::Send(range) => match self.upload {
                None => status(404),
                Some(at) if at != range.start => status(409),
                Some(_) => {
                    self.take(&kept(range));
                    offset(self.upload.unwrap())
                }
            },
            UploadStep::Look(_) if self.complete => {
                Answer { length: Some(self.sealed), ..status(200) }
            }
            UploadStep::Look(_) => status(404),
            UploadStep::Wait(_) | UploadStep::Done(_) => panic!("no request"),
        };
        (!matches!(fate, Fate::Cut(_))).then_some(answer)
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Answered),
        4 => (0..=1000u64).prop_map(Fate::Cut),
        1 => Just(Fate::Busy),
        1 => Just(Fate::Forgotten),
    ]
}

proptest! {
    #[test]
    fn every_upload_ends_with_the_file_whole_or_with_a_reason(
        size in 0..300 * MIB,
        fates in vec(fate(), 0..30),
        starts in vec(any::<bool>(), 30),
        random in any::<u64>(),
    ) {
        let layout = layout(size);
        let mut server = Tus { sealed: layout.sealed(), upload: None, complete: false };
        let mut upload = Upload::new(layout, None);
        let mut fates = fates.into_iter().zip(starts);
        for _ in 0..1000 {
            let step = upload.step();
            match step {
                UploadStep::Wait(wait) => prop_assert!(wait <= 60_000),
                UploadStep::Done(id) => {
                    prop_assert_eq!(id, MediaId(ID));
                    prop_assert!(server.complete);
                    return Ok(());
                }
                step => {
                    let (fate, killed) = fates.next().unwrap_or((Fate::Answered, false));
                    let answer = server.answer(&step, fate);
                    if upload.on_answer(&step, answer.as_ref(), random).is_err() {
                        return Ok(());
                    }
                    if killed {
                        // The program is killed and goes on from what it kept.
                        let path = upload.path().map(str::to_owned);
                        upload = Upload::new(layout, path.as_deref());
                    }
                }
            }
        }
        prop_assert!(false, "it never ends");
    }
}

#[test]
fn a_download_goes_on_from_what_was_kept() {
    let layout = layout(MIB);
    let sealed = layout.sealed();
    let whole = Answer { length: Some(sealed), ..status(200) };
    let mut download = Download::new(layout, 0);
    assert_eq!(download.step(), DownloadStep::Get(0));
    assert_eq!(download.on_answer(Some(&whole), 7), Ok(true));
    download.has(65_552);
    download.ended(7).unwrap();
    assert!(matches!(download.step(), DownloadStep::Wait(250..=750)));
    assert_eq!(download.step(), DownloadStep::Get(65_552));
    let part = |first| Answer { length: Some(sealed), first: Some(first), ..status(206) };
    assert_eq!(download.on_answer(Some(&part(65_552)), 7), Ok(true));
    download.has(sealed);
    download.ended(7).unwrap();
    assert_eq!(download.step(), DownloadStep::Done);

    // Another part or another file than was asked for.
    let mut download = Download::new(layout, 65_552);
    let wrong = [part(0), Answer { length: Some(sealed + 1), ..part(65_552) }, status(416)];
    for answer in wrong {
        assert!(matches!(download.on_answer(Some(&answer), 7), Err(TransferError::Unexpected(_))));
    }
    // One that sends the whole all the same is taken at its word.
    assert_eq!(download.on_answer(Some(&whole), 7), Ok(true));
    assert_eq!(download.from(), 0);
    let gone = Download::new(layout, 0).on_answer(Some(&status(404)), 7);
    assert_eq!(gone, Err(TransferError::Gone));
    let denied = refused(ErrorCode::TokenExpired, None);
    let denied = Download::new(layout, 0).on_answer(Some(&denied), 7);
    assert!(matches!(denied, Err(TransferError::Refused(_))));
}

#[test]
fn a_download_that_comes_no_further_ends() {
    let mut download = Download::new(layout(MIB), 0);
    let mut tries = 0;
    loop {
        match download.step() {
            DownloadStep::Wait(_) => {}
            step => {
                assert_eq!(step, DownloadStep::Get(0));
                tries += 1;
                let busy = (tries % 2 == 0).then(|| status(503));
                match download.on_answer(busy.as_ref(), 7) {
                    Ok(body) => assert!(!body),
                    Err(_) => break,
                }
            }
        }
    }
    assert_eq!(tries, 11);
}
