-- Demo question 5, first half: a product arrives. The trigger on shop.product files it for the worker.
INSERT INTO shop.product
    (id, name, category, price, in_stock, supplier_id, photo_path)
VALUES
    (:id, :'name', :'category', :price, true, :supplier_id, :'photo_path');
