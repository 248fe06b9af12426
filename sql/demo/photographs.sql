-- The demo's photographs, each in several altered files.
CREATE SCHEMA IF NOT EXISTS shop;
CREATE TABLE IF NOT EXISTS shop.photograph (
    id integer PRIMARY KEY,
    shows text NOT NULL,
    altered text NOT NULL,
    file text NOT NULL UNIQUE
);
COMMENT ON COLUMN shop.photograph.file IS 'File name below the demo''s folder "photographs".';
