//! Metrics with labels. The names of the labels are written once, where the metric is declared.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::domain::escaped;

type LabelSet<const N: usize> = [(&'static str, String); N];

/// One metric for each set of label values. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Labelled<M, const N: usize, C = fn() -> M> {
    labels: [&'static str; N],
    family: Family<LabelSet<N>, M, C>,
}

pub(super) type Counters<const N: usize> = Labelled<Counter, N>;
pub(super) type Gauges<const N: usize> = Labelled<Gauge, N>;
pub(super) type Histograms<const N: usize> = Labelled<Histogram, N, Buckets>;

impl<M: Clone, const N: usize, C: MetricConstructor<M>> Labelled<M, N, C> {
    /// The metric with these label values, given in the order in which the labels are declared.
    pub(super) fn of(&self, values: [&str; N]) -> M {
        let mut values = values.into_iter();
        let labels =
            self.labels.map(|label| (label, escaped(values.next().unwrap_or_default()).into_owned()));
        self.family.get_or_create_owned(&labels)
    }
}

impl<M, const N: usize, C> EncodeMetric for Labelled<M, N, C>
where
    M: EncodeMetric + TypedMetric,
    C: MetricConstructor<M>,
{
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.family.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.family.metric_type()
    }

    fn is_empty(&self) -> bool {
        self.family.is_empty()
    }
}

/// Upper bounds of a histogram's buckets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

pub(super) fn labelled<M: Default, const N: usize>(labels: [&'static str; N]) -> Labelled<M, N> {
    Labelled { labels, family: Family::default() }
}

pub(super) fn histogram(buckets: &'static [f64]) -> Histogram {
    Buckets(buckets).new_metric()
}

pub(super) fn histograms<const N: usize>(
    buckets: &'static [f64],
    labels: [&'static str; N],
) -> Histograms<N> {
    Labelled { labels, family: Family::new_with_constructor(Buckets(buckets)) }
}
