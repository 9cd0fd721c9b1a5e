//! Writes families of metrics, each with its help, its type and its unit.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::super::snapshot::{ByWord, SpanFacts};
use crate::ground::ledger::BOUNDS;

/// What writing comes to; memory never fails.
pub(super) type Written = Result<(), fmt::Error>;

/// Where families go, one after the other. Names are without unit and suffix, which are added here.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl<'a> Families<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    pub(super) fn info(
        &mut self,
        name: &'static str,
        help: &str,
        label: &'static str,
        value: &str,
    ) -> Written {
        let mut family = self.family(name, help, None, MetricType::Info)?;
        family.encode_info(&[(label, value)])
    }

    /// A family of one; the whole family is absent while its value is not known.
    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        help: &str,
        unit: Option<&Unit>,
        value: Option<impl EncodeGaugeValue>,
    ) -> Written {
        match value {
            None => Ok(()),
            Some(value) => self
                .family(name, help, unit, MetricType::Gauge)?
                .encode_gauge(&value),
        }
    }

    pub(super) fn gauges(
        &mut self,
        name: &'static str,
        help: &str,
        unit: Option<&Unit>,
        label: &'static str,
        values: &ByWord<impl EncodeGaugeValue>,
    ) -> Written {
        let mut family = self.family(name, help, unit, MetricType::Gauge)?;
        for (word, value) in &values.0 {
            family
                .encode_family(&[(label, *word)])?
                .encode_gauge(value)?;
        }
        Ok(())
    }

    /// The same with labels that the operator has chosen; the family is absent where there is none.
    pub(super) fn gauges_of<V: EncodeGaugeValue>(
        &mut self,
        name: &'static str,
        help: &str,
        unit: Option<&Unit>,
        label: &'static str,
        values: impl Iterator<Item = (String, V)>,
    ) -> Written {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut family = self.family(name, help, unit, MetricType::Gauge)?;
        for (word, value) in values {
            family
                .encode_family(&[(label, word.as_str())])?
                .encode_gauge(&value)?;
        }
        Ok(())
    }

    pub(super) fn counter(
        &mut self,
        name: &'static str,
        help: &str,
        unit: Option<&Unit>,
        value: impl EncodeCounterValue,
    ) -> Written {
        let mut family = self.family(name, help, unit, MetricType::Counter)?;
        family.encode_counter::<Unlabelled, _, f64>(&value, None)
    }

    pub(super) fn counters(
        &mut self,
        name: &'static str,
        help: &str,
        unit: Option<&Unit>,
        label: &'static str,
        values: &ByWord,
    ) -> Written {
        let mut family = self.family(name, help, unit, MetricType::Counter)?;
        for (word, value) in &values.0 {
            count(&mut family.encode_family(&[(label, *word)])?, *value)?;
        }
        Ok(())
    }

    pub(super) fn histograms(
        &mut self,
        name: &'static str,
        help: &str,
        label: &'static str,
        spans: &ByWord<SpanFacts>,
    ) -> Written {
        let mut family = self.family(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (word, span) in &spans.0 {
            let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(span.distribution.buckets).collect();
            family
                .encode_family(&[(label, *word)])?
                .encode_histogram::<Unlabelled>(span.sum_seconds, span.count, &buckets, None)?;
        }
        Ok(())
    }

    fn family<'s>(
        &'s mut self,
        name: &'static str,
        help: &str,
        unit: Option<&'s Unit>,
        metric: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, metric)
    }
}

/// The labels of exemplars, of which there are none.
type Unlabelled = [(&'static str, &'static str); 0];

fn count(family: &mut MetricEncoder<'_>, value: u64) -> Written {
    family.encode_counter::<Unlabelled, u64, f64>(&value, None)
}
