-- Near-duplicates of the photograph in :'file', within :distance.
SELECT p.shows, p.altered, round(d.distance::numeric, 3) AS distance
FROM shop.photograph AS asked, imgvec.duplicates_of_photograph_lite(asked.id, :distance) AS d
JOIN shop.photograph AS p ON p.id = d.id
WHERE asked.file = :'file'
ORDER BY d.distance;
