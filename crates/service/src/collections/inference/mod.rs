//! Texts where vectors are expected: embedded here, in batches, before the engine sees the request.
//!
//! ```text
//!   request ── every document ─┬─ bm25 ──────────► sparse vectors, computed at once
//!                              └─ by model and options ─► Service::embed, which keeps results by content
//!           ◄─ the same request, vectors in the documents' places
//! ```
//!
//! What must always hold:
//! 1. Vectors of two models are never mixed under one name: the collection remembers what made them, and a document of
//!    another model is refused before it is embedded.
//! 2. What is remembered is on disk before the first vector that it speaks of.
//! 3. A request without documents costs nothing here.

pub mod bm25;
mod murmur;
pub mod options;
pub mod remembered;

use std::collections::BTreeMap;

use security::Identity;
use sha2::{Digest, Sha256};
use vectors::collection::Operation;
use vectors::point::Vector;
use vectors::query::{GroupRequest, QueryRequest, Target};
use vectors::schema::{CollectionSchema, VectorSchema};

use self::bm25::{Bm25Model, Bm25Options, Side};
use self::options::DenseOptions;
use self::remembered::{Place, VectorModel};
use super::call::Call;
use super::failures::from_vectors;
use super::input::{Document, Embedded, InferenceUsage, Input};
use crate::catalog::FoundModel;
use crate::error::{Error, Result};
use crate::failures;
use crate::service::Service;
use crate::types::{EmbedRequest, Prompt};

/// Most documents in one request. At 384 dimensions their vectors take 15 MB; beyond it, several requests are no slower.
pub const DOCUMENTS_MAX: usize = 10_000;

/// Texts that are embedded in one call: far below every limit of the model's side, large enough to fill its batches.
const TEXTS_PER_CALL: usize = 256;

/// Bytes of text that are embedded in one call.
const TEXT_BYTES_PER_CALL: usize = 512 * 1024;

/// More bytes of text than this are weighed beside the threads that serve others; below it takes well under a millisecond.
const WEIGHED_INLINE_BYTES_MAX: usize = 64 * 1024;

/// A document of a request.
struct Wanted {
    /// Its field in the request, for errors.
    field: String,
    /// The vector's name.
    vector: String,
    document: Document,
}

/// Documents of one model with the same options.
struct Group {
    model: Model,
    /// Which of the wanted documents.
    members: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Model {
    Lexical(Bm25Options),
    Dense { name: String, options: DenseOptions },
}

impl Service {
    /// Puts vectors in the places of documents that are to be stored.
    ///
    /// # Errors
    /// `Forbidden` for a key that may not write collections, or not embed where there are documents; `NotFound` for the
    /// collection or a model; `Conflict` (code `model_mismatch`) for a model other than the one that made the vectors;
    /// `InvalidRequest` naming the point at fault; those of [`Service::embed`].
    pub async fn embed_operations(
        &self,
        identity: &Identity,
        collection: &str,
        operations: Vec<Operation<Input>>,
    ) -> Result<Embedded<Vec<Operation>>> {
        let several = operations.len() > 1;
        let mut wanted = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            operation.visit_vectors(&mut |place, input| {
                if let Input::Document(document) = input {
                    let operation = if several {
                        format!("operations[{index}].")
                    } else {
                        String::new()
                    };
                    let name = if place.name.is_empty() {
                        String::new()
                    } else {
                        format!(".{}", place.name)
                    };
                    wanted.push(Wanted {
                        field: format!("{operation}points[{}].vector{name}", place.point),
                        vector: place.name.to_owned(),
                        document: document.clone(),
                    });
                }
            });
        }
        let (vectors, usage) = self
            .embed_documents(identity, collection, wanted, Side::Stored)
            .await?;
        let mut vectors = vectors.into_iter();
        let mut stored = |place: vectors::collection::VectorPlace<'_>, input: Input| match input {
            Input::Vector(vector) => Ok(vector),
            Input::Document(_) => vectors.next().ok_or_else(fewer),
            Input::Point(_) => Err(Error::invalid(
                format!("points[{}].vector", place.point),
                "The vector of another point cannot be stored; send the vector itself.",
            )),
        };
        let value = operations
            .into_iter()
            .map(|operation| operation.try_map_vectors(&mut stored))
            .collect::<Result<_>>()?;
        Ok(Embedded { value, usage })
    }

    /// Puts vectors in the places of documents that queries search for.
    ///
    /// # Errors
    /// As [`Service::embed_operations`], for a key that may read collections; errors name the stage at fault.
    pub async fn embed_queries(
        &self,
        identity: &Identity,
        collection: &str,
        queries: Vec<QueryRequest<Input>>,
    ) -> Result<Embedded<Vec<QueryRequest>>> {
        let several = queries.len() > 1;
        let mut wanted = Vec::new();
        for (index, query) in queries.iter().enumerate() {
            query.visit_targets(&mut |place, input| {
                if let Input::Document(document) = input {
                    let search = if several {
                        format!("searches[{index}].")
                    } else {
                        String::new()
                    };
                    wanted.push(Wanted {
                        field: format!("{search}{}query", place.stage),
                        vector: place.using.to_owned(),
                        document: document.clone(),
                    });
                }
            });
        }
        let (vectors, usage) = self
            .embed_documents(identity, collection, wanted, Side::Query)
            .await?;
        let mut vectors = vectors.into_iter();
        let mut target = |_: vectors::query::TargetPlace<'_>, input: Input| match input {
            Input::Vector(vector) => Ok(Target::Vector(vector)),
            Input::Point(id) => Ok(Target::Point(id)),
            Input::Document(_) => vectors.next().map(Target::Vector).ok_or_else(fewer),
        };
        let value = queries
            .into_iter()
            .map(|query| query.try_map_targets(&mut target))
            .collect::<Result<_>>()?;
        Ok(Embedded { value, usage })
    }

    /// [`Service::embed_queries`] for a grouped query.
    ///
    /// # Errors
    /// As [`Service::embed_queries`].
    pub async fn embed_grouped_query(
        &self,
        identity: &Identity,
        collection: &str,
        request: GroupRequest<Input>,
    ) -> Result<Embedded<GroupRequest>> {
        let queries = vec![request.query];
        let embedded = self.embed_queries(identity, collection, queries).await?;
        let query = embedded.value.into_iter().next().ok_or_else(fewer)?;
        Ok(Embedded {
            value: GroupRequest {
                query,
                group_by: request.group_by,
                group_size: request.group_size,
                limit: request.limit,
            },
            usage: embedded.usage,
        })
    }

    /// What a collection remembers of the models that made its vectors from texts, by vector name.
    ///
    /// # Errors
    /// `NotFound` for the collection.
    pub async fn collection_models(
        &self,
        identity: &Identity,
        collection: &str,
    ) -> Result<BTreeMap<String, VectorModel>> {
        let call = Call::read("collection_models");
        self.with_collection(identity, call, collection, |used| {
            Ok(remembered::remembered(&used.collection.schema()))
        })
        .await
    }

    /// The vectors of documents, in their order.
    async fn embed_documents(
        &self,
        identity: &Identity,
        collection: &str,
        wanted: Vec<Wanted>,
        side: Side,
    ) -> Result<(Vec<Vector>, InferenceUsage)> {
        let mut usage = InferenceUsage::default();
        if wanted.is_empty() {
            return Ok((Vec::new(), usage));
        }
        if wanted.len() > DOCUMENTS_MAX {
            return Err(Error::invalid(
                wanted[DOCUMENTS_MAX].field.clone(),
                format!("One request has at most {DOCUMENTS_MAX} documents to embed."),
            ));
        }
        let call = match side {
            Side::Stored => Call::write("inference"),
            Side::Query => Call::read("inference"),
        };
        let schema = self
            .with_collection(identity, call, collection, |used| {
                Ok(used.collection.schema().as_ref().clone())
            })
            .await?;
        let groups = grouped(&wanted)?;
        let mut made_by: BTreeMap<String, VectorModel> = remembered::remembered(&schema);
        let mut new: BTreeMap<String, VectorModel> = BTreeMap::new();
        for group in &groups {
            let facts = self.facts(group, &wanted).await?;
            for (name, field) in group.names(&wanted) {
                let facts = fitting(&schema, &group.model, &name, &facts)
                    .map_err(|error| at(error, &field))?;
                let place = Place {
                    collection,
                    vector: &name,
                    stored: side == Side::Stored,
                };
                match made_by.get(&name) {
                    Some(known) => {
                        remembered::check(place, known, &facts).map_err(|error| error.at(&field))?
                    }
                    None if side == Side::Stored => {
                        made_by.insert(name.clone(), facts.clone());
                        new.insert(name, facts);
                    }
                    None => {}
                }
            }
        }
        let mut vectors: Vec<Option<Vector>> = vec![None; wanted.len()];
        for group in groups {
            let made = match group.model {
                Model::Lexical(options) => {
                    weighed(options, &wanted, &group.members, side, &mut usage).await?
                }
                Model::Dense { name, options } => {
                    self.embed_group(
                        identity,
                        &name,
                        &options,
                        &wanted,
                        &group.members,
                        &mut usage,
                    )
                    .await?
                }
            };
            for (member, vector) in group.members.into_iter().zip(made) {
                vectors[member] = Some(vector);
            }
        }
        if !new.is_empty() {
            self.remember(identity, collection, new).await?;
        }
        let vectors = vectors
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(fewer)?;
        Ok((vectors, usage))
    }

    /// Remembers what is about to make the first vectors of names, unless somebody else was faster with another model.
    async fn remember(
        &self,
        identity: &Identity,
        collection: &str,
        new: BTreeMap<String, VectorModel>,
    ) -> Result<()> {
        let asked = collection.to_owned();
        let checked = self
            .with_collection(
                identity,
                Call::write("inference"),
                collection,
                move |used| {
                    let refused = std::cell::Cell::new(None);
                    used.tenant.change_schema(&used.collection, &|schema| {
                        let known = remembered::remembered(schema);
                        for (name, model) in &new {
                            let place = Place {
                                collection: &asked,
                                vector: name,
                                stored: true,
                            };
                            match known.get(name) {
                                Some(known) => {
                                    if let Err(error) = remembered::check(place, known, model) {
                                        refused.set(Some(error));
                                        return Ok(());
                                    }
                                }
                                None => remembered::remember(schema, name, model),
                            }
                        }
                        Ok(())
                    })?;
                    Ok(refused.take())
                },
            )
            .await?;
        checked.map_or(Ok(()), Err)
    }

    /// What a group's model is. The dimensions are those its file promises.
    async fn facts(&self, group: &Group, wanted: &[Wanted]) -> Result<VectorModel> {
        let (name, options) = match &group.model {
            Model::Lexical(options) => return Ok(lexical_facts(options)),
            Model::Dense { name, options } => (name, options),
        };
        let found = self
            .catalog
            .find(name)
            .await
            .map_err(|error| match group.members.first() {
                Some(&first) => at(error, &wanted[first].field),
                None => error,
            })?;
        Ok(dense_facts(found, options))
    }

    /// The vectors of a group's texts, through the same door as every other embedding.
    async fn embed_group(
        &self,
        identity: &Identity,
        model: &str,
        options: &DenseOptions,
        wanted: &[Wanted],
        members: &[usize],
        usage: &mut InferenceUsage,
    ) -> Result<Vec<Vector>> {
        let mut vectors = Vec::with_capacity(members.len());
        for members in calls(wanted, members) {
            let inputs = members
                .iter()
                .map(|&member| {
                    Prompt::Text(format!(
                        "{}{}",
                        options.prefix, wanted[member].document.text
                    ))
                })
                .collect();
            let request = EmbedRequest {
                model: model.to_owned(),
                inputs,
                dimensions: options.dimensions,
                truncate: options.truncate,
                keep_alive: None,
                fresh: false,
            };
            let made = self
                .embed(identity, request)
                .await
                .map_err(|error| of_document(error, wanted, members))?;
            usage.add(&made.model, u64::from(made.prompt_tokens));
            let width = (made.dimensions as usize).max(1);
            vectors.extend(
                made.vectors
                    .chunks_exact(width)
                    .map(|row| Vector::Dense(row.to_vec())),
            );
        }
        Ok(vectors)
    }
}

/// Documents by model and options.
fn grouped(wanted: &[Wanted]) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, one) in wanted.iter().enumerate() {
        let document = &one.document;
        let model = if bm25::is_named(&document.model) {
            options::lexical(&document.options).map(Model::Lexical)
        } else {
            options::dense(&document.options).map(|options| Model::Dense {
                name: document.model.clone(),
                options,
            })
        }
        .map_err(|error| at(error, &one.field))?;
        match groups.iter_mut().find(|group| group.model == model) {
            Some(group) => group.members.push(index),
            None => groups.push(Group {
                model,
                members: vec![index],
            }),
        }
    }
    Ok(groups)
}

impl Group {
    /// The names of vectors that the group makes, each with the field of one of its documents.
    fn names(&self, wanted: &[Wanted]) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        for &member in &self.members {
            let one = &wanted[member];
            names
                .entry(one.vector.clone())
                .or_insert_with(|| one.field.clone());
        }
        names
    }
}

fn dense_facts(found: FoundModel, options: &DenseOptions) -> VectorModel {
    let promised = found.manifest.facts.embedding_length.unwrap_or(0);
    let promised = u32::try_from(promised).unwrap_or(u32::MAX);
    let summary = crate::catalog::summary(found.manifest.clone());
    VectorModel {
        model: summary.name,
        digest: summary.digest,
        dimensions: options.dimensions.unwrap_or(promised),
        pooling: summary.pooling,
        // A vector that was cut is scaled again.
        normalized: found.manifest.normalize || options.dimensions.is_some(),
        prefix: options.prefix.clone(),
    }
}

/// The settings of the analysis decide which texts share terms, so they stand for the weights of a model.
fn lexical_facts(options: &Bm25Options) -> VectorModel {
    let analysis = serde_json::to_vec(&options.analysis).unwrap_or_default();
    VectorModel {
        model: bm25::NAME.to_owned(),
        digest: format!("sha256:{}", hex::encode(Sha256::digest(analysis))),
        dimensions: 0,
        pooling: None,
        normalized: false,
        prefix: String::new(),
    }
}

/// Refuses a model that makes vectors of another kind or size than the collection has under the name; fills in the
/// dimensions where the model's file does not promise them.
fn fitting(
    schema: &CollectionSchema,
    model: &Model,
    name: &str,
    facts: &VectorModel,
) -> Result<VectorModel> {
    let Some(vector) = schema.vectors.get(name) else {
        return Err(from_vectors(vectors::VectorsError::Missing {
            what: "vector",
            name: name.to_owned(),
        }));
    };
    match (model, vector) {
        (Model::Lexical(_), VectorSchema::Sparse { .. }) => Ok(facts.clone()),
        (Model::Lexical(_), VectorSchema::Dense { .. }) => Err(Error::invalid(
            "model",
            format!(
                "`{}` makes sparse vectors; the vector `{name}` is dense.",
                bm25::NAME
            ),
        )),
        (Model::Dense { name: model, .. }, VectorSchema::Sparse { .. }) => Err(Error::invalid(
            "model",
            format!(
                "`{model}` makes dense vectors; the vector `{name}` is sparse, and its model is `{}`.",
                bm25::NAME
            ),
        )),
        (Model::Dense { name: model, .. }, VectorSchema::Dense { dimensions, .. }) => {
            if facts.dimensions != 0 && facts.dimensions != *dimensions {
                return Err(Error::invalid(
                    "model",
                    format!(
                        "Wrong input: Vector dimension error: expected dim: {dimensions}, got {}: `{model}` makes vectors of {} dimensions, and the collection was made for {dimensions}.",
                        facts.dimensions, facts.dimensions,
                    ),
                ));
            }
            Ok(VectorModel {
                dimensions: *dimensions,
                ..facts.clone()
            })
        }
    }
}

/// Sparse vectors of a group's texts.
async fn weighed(
    options: Bm25Options,
    wanted: &[Wanted],
    members: &[usize],
    side: Side,
    usage: &mut InferenceUsage,
) -> Result<Vec<Vector>> {
    let model = Bm25Model::new(options).map_err(from_vectors)?;
    let texts: Vec<String> = members
        .iter()
        .map(|&member| wanted[member].document.text.clone())
        .collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    let weigh = move || -> Vec<_> { texts.iter().map(|text| model.weigh(text, side)).collect() };
    let weighed = if bytes > WEIGHED_INLINE_BYTES_MAX {
        tokio::task::spawn_blocking(weigh)
            .await
            .map_err(failures::internal)?
    } else {
        weigh()
    };
    usage.add(bm25::NAME, weighed.iter().map(|one| one.terms).sum());
    Ok(weighed
        .into_iter()
        .map(|one| Vector::Sparse(one.vector))
        .collect())
}

/// Members in runs that one call takes.
fn calls<'m>(wanted: &[Wanted], members: &'m [usize]) -> Vec<&'m [usize]> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, &member) in members.iter().enumerate() {
        let length = wanted[member].document.text.len();
        if index > start
            && (index - start == TEXTS_PER_CALL || bytes + length > TEXT_BYTES_PER_CALL)
        {
            runs.push(&members[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += length;
    }
    if start < members.len() {
        runs.push(&members[start..]);
    }
    runs
}

/// `error`, whose field is one of the document's, at the document's place in the request.
fn at(mut error: Error, field: &str) -> Error {
    error.field = Some(match &error.field {
        Some(inner) => format!("{field}.{inner}"),
        None => field.to_owned(),
    });
    error
}

/// An error of [`Service::embed`] at the document it speaks of.
fn of_document(mut error: Error, wanted: &[Wanted], members: &[usize]) -> Error {
    let speaks_of = error.field.as_deref().and_then(|field| {
        field
            .strip_prefix("input[")?
            .strip_suffix(']')?
            .parse::<usize>()
            .ok()
    });
    let member = speaks_of
        .and_then(|index| members.get(index))
        .or(members.first());
    if let Some(&member) = member {
        let field = &wanted[member].field;
        if let Some(index) = speaks_of {
            error.message = error
                .message
                .replace(&format!("input[{index}]"), &format!("{field}.text"));
        }
        error.field = Some(match error.field.as_deref() {
            Some("model") => format!("{field}.model"),
            Some("dimensions") => format!("{field}.options.dimensions"),
            _ => format!("{field}.text"),
        });
    }
    error
}

fn fewer() -> Error {
    failures::internal("fewer vectors than documents were made")
}
