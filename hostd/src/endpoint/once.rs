//! Something that the endpoint asked for and gets in one question, whether that one succeeds or
//! not: where it is too large to be taken, the next question must not fail by it as well.

/// Whether it is to be sent.
#[derive(Debug, Default)]
pub(super) struct Once(bool);

impl Once {
    /// The endpoint asks for it.
    pub(super) fn ask(&mut self) {
        self.0 = true;
    }

    /// Whether this question has it. The next one has not.
    pub(super) fn take(&mut self) -> bool {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_goes_with_one_question_until_it_is_asked_for_again() {
        let mut once = Once::default();
        assert!(!once.take());
        for _ in 0..2 {
            once.ask();
            assert_eq!([once.take(), once.take()], [true, false]);
        }
    }
}
