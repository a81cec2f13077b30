//! The join's rules once more, slow and obvious: linear scans, everything is forgotten the moment it is over.

use crate::history::{Booking, Bookings, Event, History};
use driftline::engine::definitions::JoinRules;
use driftline::engine::types::EventTime;

#[derive(Clone)]
struct Prediction {
    event: Event,
    first_outcome: Option<(EventTime, u64)>,
    window_over: bool,
}

#[derive(Clone)]
struct Waiting {
    event: Event,
    e: EventTime,
}

#[derive(Clone)]
pub struct Model {
    rules: JoinRules,
    highest: [EventTime; 2],
    first_prediction: Option<EventTime>,
    predictions: Vec<Prediction>,
    waiting: Vec<Waiting>,
    pub booked: Bookings,
}

impl Model {
    pub fn new(rules: JoinRules) -> Model {
        let highest = [EventTime::MIN; 2];
        Model { rules, highest, first_prediction: None, predictions: Vec::new(), waiting: Vec::new(), booked: Bookings::default() }
    }

    /// Runs a history, predictions before outcomes as `choose` says.
    pub fn run(rules: JoinRules, history: &History, mut choose: impl FnMut() -> usize) -> Bookings {
        let mut model = Model::new(rules);
        let mut rest = [0, 1].map(|i| history.inputs[i].iter());
        loop {
            let input = choose();
            match (rest[input].next(), input) {
                (Some(event), 0) => model.predict(*event),
                (Some(event), _) => model.outcome(*event),
                (None, _) if rest[1 - input].len() == 0 => return model.booked,
                (None, _) => {}
            }
        }
    }

    fn watermark(&self, input: usize) -> EventTime {
        self.highest[input].minus(self.rules.lateness[input])
    }

    fn fits(&self, p: &Prediction, e: EventTime) -> bool {
        let t = p.event.time();
        t.minus(self.rules.early) <= e
            && e <= t.plus(self.rules.window)
            && p.first_outcome.is_none_or(|(first, _)| e <= first.plus(self.rules.settle))
    }

    fn pair(p: &mut Prediction, o: &Event, e: EventTime, booked: &mut Bookings) {
        let at = p.event.time().max(e);
        let what = match p.first_outcome {
            Some((_, said)) if said == o.said => Booking::DuplicateOutcome,
            Some(_) => Booking::ConflictingOutcome,
            None => {
                p.first_outcome = Some((e, o.said));
                Booking::Pair { cell: p.event.cell().into(), said: p.event.said, observed: o.said, value: o.value().to_bits() }
            }
        };
        booked.add(at, what);
    }

    pub fn predict(&mut self, event: Event) {
        let (t, watermark) = (event.time(), self.watermark(0));
        let twin = |q: &Prediction| q.event.id == event.id && watermark <= q.event.time().plus(self.rules.duplicates);
        if t < watermark {
            self.booked.add(watermark, Booking::Late);
        } else if self.predictions.iter().any(twin) {
            self.booked.add(t, Booking::DuplicatePrediction);
        } else {
            self.first_prediction.get_or_insert(t);
            self.booked.add(t, Booking::Accepted { cell: event.cell().into(), said: event.said });
            let mut p = Prediction { event, first_outcome: None, window_over: false };
            for w in std::mem::take(&mut self.waiting) {
                if w.event.id == event.id && self.fits(&p, w.e) {
                    Model::pair(&mut p, &w.event, w.e, &mut self.booked);
                } else {
                    self.waiting.push(w);
                }
            }
            self.predictions.push(p);
        }
        self.highest[0] = self.highest[0].max(t);
        self.forget();
    }

    pub fn outcome(&mut self, event: Event) {
        let e = event.time().max(self.watermark(1));
        let found = self.predictions.iter().position(|p| p.event.id == event.id && !p.window_over && self.fits(p, e));
        match found {
            Some(i) => Model::pair(&mut self.predictions[i], &event, e, &mut self.booked),
            None => self.waiting.push(Waiting { event, e }),
        }
        self.highest[1] = self.highest[1].max(event.time());
        self.forget();
    }

    /// Lets go of predictions (0) or waiting outcomes (1) up to a time.
    pub fn release(&mut self, input: usize, up_to: EventTime) {
        if input == 0 {
            for p in self.predictions.iter().filter(|p| p.event.time() <= up_to && !p.window_over && p.first_outcome.is_none()) {
                let end = p.event.time().plus(self.rules.window);
                self.booked.add(end, Booking::Unlabelled { cell: p.event.cell().into() });
            }
            self.predictions.retain(|p| p.event.time() > up_to);
        } else {
            for w in self.waiting.iter().filter(|w| w.e <= up_to) {
                self.booked.add(w.e.plus(self.rules.early), self.nobodys(w.e.plus(self.rules.early)));
            }
            self.waiting.retain(|w| w.e > up_to);
        }
    }

    fn nobodys(&self, at: EventTime) -> Booking {
        if self.first_prediction.is_none_or(|first| at < first) { Booking::BeforeStart } else { Booking::Orphan }
    }

    fn forget(&mut self) {
        let (rules, wp, wo) = (self.rules, self.watermark(0), self.watermark(1));
        for p in &mut self.predictions {
            let end = p.event.time().plus(rules.window);
            if wo > end && !p.window_over {
                p.window_over = true;
                if p.first_outcome.is_none() {
                    self.booked.add(end, Booking::Unlabelled { cell: p.event.cell().into() });
                }
            }
        }
        self.predictions.retain(|p| {
            let settled = p.first_outcome.is_some_and(|(first, _)| wo > first.plus(rules.settle));
            let gone = (p.window_over || settled) && wp > p.event.time().plus(rules.duplicates);
            !gone
        });
        for w in std::mem::take(&mut self.waiting) {
            let at = w.e.plus(rules.early);
            if wp <= at {
                self.waiting.push(w);
            } else {
                self.booked.add(at, self.nobodys(at));
            }
        }
    }
}
