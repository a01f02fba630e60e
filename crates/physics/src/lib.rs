//! Science models: Quasimoto waves and their ensembles, string vibrations and the string theory network, with training.
//!
//! Plain blocking code on plain types; nothing here knows a request, a tenant or a wire format.
