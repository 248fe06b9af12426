-- The text that a collection's prompt makes of words.
SELECT q.prompted FROM imgvec.text_question(%(collection)s, %(words)s) AS q;
