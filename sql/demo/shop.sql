-- The demo's shop: stickers, each with a photo file, and who delivers them.
CREATE SCHEMA IF NOT EXISTS shop;
CREATE TABLE IF NOT EXISTS shop.supplier (
    id integer PRIMARY KEY,
    name text NOT NULL,
    delivery_days integer NOT NULL
);
CREATE TABLE IF NOT EXISTS shop.product (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    category text NOT NULL,
    price numeric(8, 2) NOT NULL,
    in_stock boolean NOT NULL,
    supplier_id integer NOT NULL REFERENCES shop.supplier (id),
    photo_path text NOT NULL
);
COMMENT ON COLUMN shop.product.photo_path IS 'File name below the demo''s folder "photos".';
