"""Operations of numpy and indexing on a GeoTensor, and the attributes of its pixels."""
