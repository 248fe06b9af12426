"""What a visitor may ask."""

from django import forms

from shop.models import Category

MAX_PHOTO_BYTES = 8 << 20


class SearchForm(forms.Form):
    """Words and filters; each may be left out."""

    q = forms.CharField(required=False, max_length=200, label="Search")
    category = forms.ModelChoiceField(Category.objects, required=False, empty_label="All categories")
    max_price = forms.DecimalField(required=False, min_value=0, max_value=1000, label="Up to")
    in_stock = forms.BooleanField(required=False, label="In stock")


class PhotoForm(forms.Form):
    """A picture to find products alike."""

    photo = forms.ImageField()

    def clean_photo(self) -> object:
        """Refuse what no model needs."""
        photo = self.cleaned_data["photo"]
        if photo.size > MAX_PHOTO_BYTES:
            raise forms.ValidationError("The picture is larger than 8 MB: take a smaller one.")
        photo.seek(0)
        return photo
