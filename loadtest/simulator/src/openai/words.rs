//! The vocabulary: every word is one token.

/// Written as JSON strings hold them, without anything to escape. Some are longer in bytes than in
/// characters, so that whatever cuts a stream in the middle of a character shows.
pub(super) const WORDS: [&str; 64] = [
    "water", "river", "gate", "stone", "mill", "wheel", "flow", "channel", "valley", "pressure",
    "turbine", "sluice", "the", "a", "of", "and", "to", "in", "through", "under", "above",
    "before", "after", "slowly", "steadily", "opens", "closes", "carries", "holds", "turns",
    "falls", "rises", "answer", "question", "model", "token", "stream", "signal", "measure",
    "balance", "spring", "winter", "morning", "evening", "light", "shadow", "iron", "copper",
    "glass", "paper", "number", "letter", "voice", "silence", "garden", "bridge", "tower",
    "harbour", "naïve", "café", "Schleuse", "水門", "🌊", "überall",
];
