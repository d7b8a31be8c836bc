"""Raw nnU-Net dataset to preprocessed cases, distance maps and class weights."""
