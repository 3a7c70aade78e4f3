//! What a device is told, looked at from one side.

use estafette_protocol::*;

/// The ids of the messages among the frames.
pub fn received(frames: &[ServerFrame]) -> Vec<MessageId> {
    let ids = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Deliver(deliver) => Some(deliver.id),
        _ => None,
    });
    ids.collect()
}

/// The ids that a device was told are safe.
pub fn sent(frames: &[ServerFrame]) -> Vec<MessageId> {
    let sent = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Sent(sent) => Some(sent.ids.clone()),
        _ => None,
    });
    sent.flatten().collect()
}

/// The ids that a device was told are delivered.
pub fn delivered(frames: &[ServerFrame]) -> Vec<MessageId> {
    let marked = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Receipt(receipt) if receipt.mark == Mark::Delivered => {
            Some(receipt.ids.clone())
        }
        _ => None,
    });
    marked.flatten().collect()
}

/// The ids of the receipts themselves, to acknowledge them.
pub fn receipt_ids(frames: &[ServerFrame]) -> Vec<MessageId> {
    let receipts = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Receipt(receipt) => Some(receipt.id),
        _ => None,
    });
    receipts.collect()
}

/// What was refused, and why.
pub fn refused(frames: &[ServerFrame]) -> Vec<(MessageId, ErrorCode)> {
    let refused = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Refused(refused) => {
            Some(refused.ids.iter().map(|&id| (id, refused.code)).collect::<Vec<_>>())
        }
        _ => None,
    });
    refused.flatten().collect()
}

/// The codes of the error frames, with the place in the batch.
pub fn errors(frames: &[ServerFrame]) -> Vec<(ErrorCode, Option<u64>)> {
    let errors = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Error(error) => Some((error.code, error.index)),
        _ => None,
    });
    errors.collect()
}

/// The only refusal among the frames.
pub fn refusal(frames: &[ServerFrame]) -> Refused {
    let mut refused = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Refused(refused) => Some(refused.clone()),
        _ => None,
    });
    let first = refused.next().unwrap();
    assert_eq!(refused.next(), None);
    first
}
