-- The model's scale and bias, null until a worker has recorded them.
SELECT m.logit_scale, m.logit_bias FROM imgvec.model AS m WHERE m.id = %(model_id)s;
