//! Diagnostics: coded, positioned messages (in the making).
