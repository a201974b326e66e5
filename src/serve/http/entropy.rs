//! How the entropy of memory runs: small samples of it, as they are read, so that a slow device costs nobody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::Site;
use super::api::Caller;
use super::run::Job;
use super::stream::respond;
use crate::error::{Error, Kind, Result};
use crate::number;
use crate::output::Out;
use crate::session::scope::Scope;
use crate::session::{Permissions, Session};

/// Bytes of a sample.
const SAMPLE: u64 = 256;

/// Samples of one answer.
const MOST: u32 = 1024;

/// A read that takes longer is one of a slow device: others go first then.
const SLOW: Duration = Duration::from_millis(2);

/// What to look at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    from: String,
    to: String,
    pieces: Option<u32>,
}

/// `GET /api/v1/entropy`.
pub async fn entropy(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    range: std::result::Result<Query<Range>, QueryRejection>,
) -> Response {
    let range = match range {
        Ok(Query(range)) => range,
        Err(rejection) => return rejection.into_response(),
    };
    let pieces = range.pieces.unwrap_or(96);
    if !(1..=MOST).contains(&pieces) {
        return Error::new(Kind::Usage, format!("'pieces' must be from 1 to {MOST}")).into_response();
    }
    let job = Job {
        work: Some(Box::new(move |session, out| sample(session, &range, pieces, out))),
        ..Job::line("entropy").aside()
    };
    respond(site, client, job, |sent| sent)
}

fn sample(session: &mut Session, range: &Range, pieces: u32, out: &mut Out<'_>) -> Result<()> {
    session.view.permissions.require(Permissions::READ, "entropy")?;
    let (from, to) = session.with(|core, view| {
        let mut scope = Scope { core, view };
        Ok::<_, Error>((number::evaluate(&range.from, &mut scope)?, number::evaluate(&range.to, &mut scope)?))
    })?;
    let length = to.checked_sub(from).filter(|length| *length > 0);
    let length = length.ok_or_else(|| Error::new(Kind::Usage, "'to' must be beyond 'from'"))?;
    let step = (length / u64::from(pieces)).max(1);
    let mut buffer = [0; SAMPLE as usize];
    for piece in 0..u64::from(pieces) {
        out.cancel().check()?;
        let offset = piece.saturating_mul(step);
        if offset >= length {
            break;
        }
        let begun = Instant::now();
        let bytes = &mut buffer[..SAMPLE.min(length - offset) as usize];
        let address = from.wrapping_add(offset);
        session.with(|core, view| Scope { core, view }.read(address, bytes))?;
        let line = json!({ "piece": piece, "address": address, "entropy": share(bytes) });
        out.write_all(format!("{line}\n").as_bytes())?;
        if begun.elapsed() > SLOW {
            out.flush()?;
            std::thread::sleep(SLOW);
        }
    }
    Ok(())
}

/// The entropy of `bytes` as a share of the most that so many bytes can have.
fn share(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let all = bytes.len() as f64;
    let bits: f64 =
        counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all).map(|p| -p * p.log2()).sum();
    let most = all.min(256.0).log2();
    if most > 0.0 { (bits / most).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_nothing_for_one_value_and_everything_for_all() {
        assert_eq!(share(&[7; 256]), 0.0);
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(share(&all), 1.0);
        assert_eq!(share(&[0, 1, 0, 1]), 0.5);
        assert_eq!(share(&[]), 0.0);
    }
}
