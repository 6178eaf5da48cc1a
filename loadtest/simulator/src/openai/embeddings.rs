//! `/v1/embeddings`: vectors of length 1 that depend on the seed and the input alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::openai::request::EmbeddingsRequest;
use crate::openai::text::{write_number, write_string};
use crate::random::Random;

/// The answer: as lists of numbers, or each vector's little-endian 32-bit floats in base64.
pub(crate) fn answer(request: &EmbeddingsRequest<'_>, seed: u64) -> Bytes {
    let mut out = Vec::with_capacity(256 + request.inputs.len() * request.dimensions * 6);
    out.extend_from_slice(br#"{"object":"list","data":["#);
    for (index, input) in request.inputs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"object":"embedding","index":"#);
        write_number(&mut out, index as u64);
        out.extend_from_slice(br#","embedding":"#);
        let vector = unit_vector(seed ^ input.hash, request.dimensions);
        if request.base64 {
            write_base64(&mut out, &vector);
        } else {
            // Finite numbers into memory: it does not fail.
            let _ = serde_json::to_writer(&mut out, &vector);
        }
        out.push(b'}');
    }
    let tokens = request.inputs.iter().map(|input| input.tokens).sum();
    out.extend_from_slice(br#"],"model":"#);
    write_string(&mut out, &request.model);
    out.extend_from_slice(br#","usage":{"prompt_tokens":"#);
    write_number(&mut out, tokens);
    out.extend_from_slice(br#","total_tokens":"#);
    write_number(&mut out, tokens);
    out.extend_from_slice(b"}}");
    out.into()
}

fn unit_vector(seed: u64, dimensions: usize) -> Vec<f32> {
    let mut random = Random::new(seed, 5);
    let raw: Vec<f64> = (0..dimensions).map(|_| random.unit() * 2.0 - 1.0).collect();
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    // A vector that is zero everywhere has no direction to keep; it cannot come up in practice.
    let scale = if length > 0.0 { length.recip() } else { 0.0 };
    raw.iter().map(|x| (x * scale) as f32).collect()
}

fn write_base64(out: &mut Vec<u8>, vector: &[f32]) {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}
