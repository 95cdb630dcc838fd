// Generated from schema/compilation-config.source.json by `pnpm generate`. Do not edit: change the schema and generate again.
"use strict";
export const validate = validate10;
export default validate10;
const schema11 = {"$schema":"http://json-schema.org/draft-07/schema#","$id":"urn:vitgraph:schema:compilation-config","type":"object","additionalProperties":false,"properties":{"$schema":{"type":"string"},"compile_mm_encoder":{"type":"boolean"},"cudagraph_mm_encoder":{"type":"boolean"},"encoder_cudagraph_token_budgets":{"type":"array","items":{"maximum":1048576,"type":"integer","exclusiveMinimum":0},"maxItems":1024},"encoder_cudagraph_max_vision_items_per_batch":{"maximum":1048576,"type":"integer","minimum":0},"encoder_cudagraph_max_frames_per_batch":{"maximum":1048576,"type":["integer","null"],"minimum":0},"encoder_cudagraph_verbose":{"type":"boolean"},"encoder_cudagraph_max_images_per_batch":{"maximum":1048576,"type":["integer","null"],"minimum":0},"encoder_cudagraph_piecewise":{"enum":[false]},"encoder_cudagraph_capture_sizes":{"type":["array","null"],"maxItems":0,"items":{"maximum":9007199254740991,"type":"integer"}},"encoder_spatial_merge_size":{"maximum":9007199254740991,"type":["integer","null"],"exclusiveMinimum":0},"mode":{"enum":[null,"NONE","STOCK_TORCH_COMPILE","DYNAMO_TRACE_ONCE","VLLM_COMPILE",0,1,2,3]},"debug_dump_path":{"type":["string","null"]},"cache_dir":{"type":"string"},"compile_cache_save_format":{"enum":["binary","unpacked"]},"backend":{"type":"string"},"custom_ops":{"type":"array","items":{"type":"string","pattern":"^(all|none|[+-].+)$"}},"ir_enable_torch_wrap":{"type":["boolean","null"]},"splitting_ops":{"type":["array","null"],"items":{"type":"string"}},"compile_sizes":{"type":["array","null"],"items":{"anyOf":[{"maximum":9007199254740991,"type":"integer"},{"const":"cudagraph_capture_sizes"}]}},"compile_ranges_endpoints":{"type":["array","null"],"items":{"maximum":9007199254740991,"type":"integer"}},"inductor_compile_config":{"type":"object"},"inductor_passes":{"type":"object","additionalProperties":{"type":"string"}},"cudagraph_mode":{"enum":[null,"NONE","PIECEWISE","FULL","FULL_DECODE_ONLY","FULL_AND_PIECEWISE",0,1,2]},"cudagraph_num_of_warmups":{"maximum":9007199254740991,"type":"integer"},"cudagraph_capture_sizes":{"type":["array","null"],"items":{"maximum":9007199254740991,"type":"integer"}},"cudagraph_copy_inputs":{"type":"boolean"},"cudagraph_specialize_lora":{"type":"boolean"},"use_inductor_graph_partition":{"type":["boolean","null"]},"pass_config":{"$ref":"#/definitions/PassConfig"},"max_cudagraph_capture_size":{"maximum":9007199254740991,"type":["integer","null"]},"dynamic_shapes_config":{"$ref":"#/definitions/DynamicShapesConfig"},"fast_moe_cold_start":{"type":["boolean","null"]},"local_cache_dir":{"not":{}},"enabled_custom_ops":{"not":{}},"disabled_custom_ops":{"not":{}},"traced_files":{"not":{}},"compilation_time":{"not":{}},"encoder_compilation_time":{"not":{}},"static_forward_context":{"not":{}},"static_all_moe_layers":{"not":{}},"level":{"not":{}},"compile_ranges_split_points":{"not":{}},"encoder_cudagraph_bucket_sizes":{"not":{}},"encoder_cudagraph_grid_configs":{"not":{}},"encoder_cudagraph_token_buckets":{"not":{}},"encoder_cudagraph_padded_mode":{"not":{}},"encoder_cudagraph_max_grid_size":{"not":{}},"encoder_cudagraph_one_by_one":{"not":{}},"encoder_cudagraph_batch_sizes":{"not":{}},"use_inductor":{"not":{}},"use_cudagraph":{"not":{}},"full_cuda_graph":{"not":{}},"candidate_compile_sizes":{"not":{}},"inductor_compile_sizes":{"not":{}},"capture_sizes":{"not":{}},"max_capture_size":{"not":{}},"dump_graph_stages":{"not":{}},"dump_graph_dir":{"not":{}},"cuda_graph_sizes":{"not":{}}},"definitions":{"PassConfig":{"type":"object","additionalProperties":false,"properties":{"fuse_norm_quant":{"type":["boolean","null"]},"fuse_act_quant":{"type":["boolean","null"]},"fuse_attn_quant":{"type":["boolean","null"]},"eliminate_noops":{"type":["boolean","null"]},"enable_sp":{"type":["boolean","null"]},"fuse_gemm_comms":{"type":["boolean","null"]},"fuse_allreduce_rms":{"type":["boolean","null"]},"enable_qk_norm_rope_fusion":{"type":["boolean","null"]},"fuse_rope_kvcache_cat_mla":{"type":["boolean","null"]},"fuse_act_padding":{"type":["boolean","null"]},"fuse_mla_dual_rms_norm":{"type":["boolean","null"]},"fuse_rope_kvcache":{"type":["boolean","null"]},"fuse_qk_norm_rope_kvcache":{"type":["boolean","null"]},"rope_kvcache_fusion_max_token_num":{"maximum":9007199254740991,"type":"integer"},"fi_allreduce_fusion_max_size_mb":{"type":["number","null"]},"sp_min_token_num":{"maximum":9007199254740991,"type":["integer","null"]},"enable_fusion":{"not":{}},"enable_attn_fusion":{"not":{}},"enable_noop":{"not":{}},"enable_reshape":{"not":{}},"enable_sequence_parallelism":{"not":{}},"enable_async_tp":{"not":{}},"enable_fi_allreduce_fusion":{"not":{}},"fi_allreduce_fusion_max_token_num":{"not":{}},"dump_graph_stages":{"not":{}},"dump_graph_dir":{"not":{}}}},"DynamicShapesConfig":{"type":"object","additionalProperties":false,"properties":{"type":{"enum":["backed","unbacked","backed_size_oblivious"]},"evaluate_guards":{"type":"boolean"},"assume_32_bit_indexing":{"type":"boolean"}}}}};
const schema12 = {"type":"object","additionalProperties":false,"properties":{"fuse_norm_quant":{"type":["boolean","null"]},"fuse_act_quant":{"type":["boolean","null"]},"fuse_attn_quant":{"type":["boolean","null"]},"eliminate_noops":{"type":["boolean","null"]},"enable_sp":{"type":["boolean","null"]},"fuse_gemm_comms":{"type":["boolean","null"]},"fuse_allreduce_rms":{"type":["boolean","null"]},"enable_qk_norm_rope_fusion":{"type":["boolean","null"]},"fuse_rope_kvcache_cat_mla":{"type":["boolean","null"]},"fuse_act_padding":{"type":["boolean","null"]},"fuse_mla_dual_rms_norm":{"type":["boolean","null"]},"fuse_rope_kvcache":{"type":["boolean","null"]},"fuse_qk_norm_rope_kvcache":{"type":["boolean","null"]},"rope_kvcache_fusion_max_token_num":{"maximum":9007199254740991,"type":"integer"},"fi_allreduce_fusion_max_size_mb":{"type":["number","null"]},"sp_min_token_num":{"maximum":9007199254740991,"type":["integer","null"]},"enable_fusion":{"not":{}},"enable_attn_fusion":{"not":{}},"enable_noop":{"not":{}},"enable_reshape":{"not":{}},"enable_sequence_parallelism":{"not":{}},"enable_async_tp":{"not":{}},"enable_fi_allreduce_fusion":{"not":{}},"fi_allreduce_fusion_max_token_num":{"not":{}},"dump_graph_stages":{"not":{}},"dump_graph_dir":{"not":{}}}};
const schema13 = {"type":"object","additionalProperties":false,"properties":{"type":{"enum":["backed","unbacked","backed_size_oblivious"]},"evaluate_guards":{"type":"boolean"},"assume_32_bit_indexing":{"type":"boolean"}}};
const func2 = Object.prototype.hasOwnProperty;
const pattern0 = new RegExp("^(all|none|[+-].+)$", "u");

function validate10(data, {instancePath="", parentData, parentDataProperty, rootData=data}={}){
/*# sourceURL="urn:vitgraph:schema:compilation-config" */;
let vErrors = null;
let errors = 0;
if(data && typeof data == "object" && !Array.isArray(data)){
for(const key0 in data){
if(!(func2.call(schema11.properties, key0))){
const err0 = {instancePath,schemaPath:"#/additionalProperties",keyword:"additionalProperties",params:{additionalProperty: key0},message:"must NOT have additional properties"};
if(vErrors === null){
vErrors = [err0];
}
else {
vErrors.push(err0);
}
errors++;
}
}
if(data.$schema !== undefined){
if(typeof data.$schema !== "string"){
const err1 = {instancePath:instancePath+"/$schema",schemaPath:"#/properties/%24schema/type",keyword:"type",params:{type: "string"},message:"must be string"};
if(vErrors === null){
vErrors = [err1];
}
else {
vErrors.push(err1);
}
errors++;
}
}
if(data.compile_mm_encoder !== undefined){
if(typeof data.compile_mm_encoder !== "boolean"){
const err2 = {instancePath:instancePath+"/compile_mm_encoder",schemaPath:"#/properties/compile_mm_encoder/type",keyword:"type",params:{type: "boolean"},message:"must be boolean"};
if(vErrors === null){
vErrors = [err2];
}
else {
vErrors.push(err2);
}
errors++;
}
}
if(data.cudagraph_mm_encoder !== undefined){
if(typeof data.cudagraph_mm_encoder !== "boolean"){
const err3 = {instancePath:instancePath+"/cudagraph_mm_encoder",schemaPath:"#/properties/cudagraph_mm_encoder/type",keyword:"type",params:{type: "boolean"},message:"must be boolean"};
if(vErrors === null){
vErrors = [err3];
}
else {
vErrors.push(err3);
}
errors++;
}
}
if(data.encoder_cudagraph_token_budgets !== undefined){
let data3 = data.encoder_cudagraph_token_budgets;
if(Array.isArray(data3)){
if(data3.length > 1024){
const err4 = {instancePath:instancePath+"/encoder_cudagraph_token_budgets",schemaPath:"#/properties/encoder_cudagraph_token_budgets/maxItems",keyword:"maxItems",params:{limit: 1024},message:"must NOT have more than 1024 items"};
if(vErrors === null){
vErrors = [err4];
}
else {
vErrors.push(err4);
}
errors++;
}
const len0 = data3.length;
for(let i0=0; i0<len0; i0++){
let data4 = data3[i0];
if(!(((typeof data4 == "number") && (!(data4 % 1) && !isNaN(data4))) && (isFinite(data4)))){
const err5 = {instancePath:instancePath+"/encoder_cudagraph_token_budgets/" + i0,schemaPath:"#/properties/encoder_cudagraph_token_budgets/items/type",keyword:"type",params:{type: "integer"},message:"must be integer"};
if(vErrors === null){
vErrors = [err5];
}
else {
vErrors.push(err5);
}
errors++;
}
if((typeof data4 == "number") && (isFinite(data4))){
if(data4 > 1048576 || isNaN(data4)){
const err6 = {instancePath:instancePath+"/encoder_cudagraph_token_budgets/" + i0,schemaPath:"#/properties/encoder_cudagraph_token_budgets/items/maximum",keyword:"maximum",params:{comparison: "<=", limit: 1048576},message:"must be <= 1048576"};
if(vErrors === null){
vErrors = [err6];
}
else {
vErrors.push(err6);
}
errors++;
}
if(data4 <= 0 || isNaN(data4)){
const err7 = {instancePath:instancePath+"/encoder_cudagraph_token_budgets/" + i0,schemaPath:"#/properties/encoder_cudagraph_token_budgets/items/exclusiveMinimum",keyword:"exclusiveMinimum",params:{comparison: ">", limit: 0},message:"must be > 0"};
if(vErrors === null){
vErrors = [err7];
}
else {
vErrors.push(err7);
}
errors++;
}
}
}
}
else {
const err8 = {instancePath:instancePath+"/encoder_cudagraph_token_budgets",schemaPath:"#/properties/encoder_cudagraph_token_budgets/type",keyword:"type",params:{type: "array"},message:"must be array"};
if(vErrors === null){
vErrors = [err8];
}
else {
vErrors.push(err8);
}
errors++;
}
}
if(data.encoder_cudagraph_max_vision_items_per_batch !== undefined){
let data5 = data.encoder_cudagraph_max_vision_items_per_batch;
if(!(((typeof data5 == "number") && (!(data5 % 1) && !isNaN(data5))) && (isFinite(data5)))){
const err9 = {instancePath:instancePath+"/encoder_cudagraph_max_vision_items_per_batch",schemaPath:"#/properties/encoder_cudagraph_max_vision_items_per_batch/type",keyword:"type",params:{type: "integer"},message:"must be integer"};
if(vErrors === null){
vErrors = [err9];
}
else {
vErrors.push(err9);
}
errors++;
}
if((typeof data5 == "number") && (isFinite(data5))){
if(data5 > 1048576 || isNaN(data5)){
const err10 = {instancePath:instancePath+"/encoder_cudagraph_max_vision_items_per_batch",schemaPath:"#/properties/encoder_cudagraph_max_vision_items_per_batch/maximum",keyword:"maximum",params:{comparison: "<=", limit: 1048576},message:"must be <= 1048576"};
if(vErrors === null){
vErrors = [err10];
}
else {
vErrors.push(err10);
}
errors++;
}
if(data5 < 0 || isNaN(data5)){
const err11 = {instancePath:instancePath+"/encoder_cudagraph_max_vision_items_per_batch",schemaPath:"#/properties/encoder_cudagraph_max_vision_items_per_batch/minimum",keyword:"minimum",params:{comparison: ">=", limit: 0},message:"must be >= 0"};
if(vErrors === null){
vErrors = [err11];
}
else {
vErrors.push(err11);
}
errors++;
}
}
}
if(data.encoder_cudagraph_max_frames_per_batch !== undefined){
let data6 = data.encoder_cudagraph_max_frames_per_batch;
if((!(((typeof data6 == "number") && (!(data6 % 1) && !isNaN(data6))) && (isFinite(data6)))) && (data6 !== null)){
const err12 = {instancePath:instancePath+"/encoder_cudagraph_max_frames_per_batch",schemaPath:"#/properties/encoder_cudagraph_max_frames_per_batch/type",keyword:"type",params:{type: schema11.properties.encoder_cudagraph_max_frames_per_batch.type},message:"must be integer,null"};
if(vErrors === null){
vErrors = [err12];
}
else {
vErrors.push(err12);
}
errors++;
}
if((typeof data6 == "number") && (isFinite(data6))){
if(data6 > 1048576 || isNaN(data6)){
const err13 = {instancePath:instancePath+"/encoder_cudagraph_max_frames_per_batch",schemaPath:"#/properties/encoder_cudagraph_max_frames_per_batch/maximum",keyword:"maximum",params:{comparison: "<=", limit: 1048576},message:"must be <= 1048576"};
if(vErrors === null){
vErrors = [err13];
}
else {
vErrors.push(err13);
}
errors++;
}
if(data6 < 0 || isNaN(data6)){
const err14 = {instancePath:instancePath+"/encoder_cudagraph_max_frames_per_batch",schemaPath:"#/properties/encoder_cudagraph_max_frames_per_batch/minimum",keyword:"minimum",params:{comparison: ">=", limit: 0},message:"must be >= 0"};
if(vErrors === null){
vErrors = [err14];
}
else {
vErrors.push(err14);
}
errors++;
}
}
}
if(data.encoder_cudagraph_verbose !== undefined){
if(typeof data.encoder_cudagraph_verbose !== "boolean"){
const err15 = {instancePath:instancePath+"/encoder_cudagraph_verbose",schemaPath:"#/properties/encoder_cudagraph_verbose/type",keyword:"type",params:{type: "boolean"},message:"must be boolean"};
if(vErrors === null){
vErrors = [err15];
}
else {
vErrors.push(err15);
}
errors++;
}
}
if(data.encoder_cudagraph_max_images_per_batch !== undefined){
let data8 = data.encoder_cudagraph_max_images_per_batch;
if((!(((typeof data8 == "number") && (!(data8 % 1) && !isNaN(data8))) && (isFinite(data8)))) && (data8 !== null)){
const err16 = {instancePath:instancePath+"/encoder_cudagraph_max_images_per_batch",schemaPath:"#/properties/encoder_cudagraph_max_images_per_batch/type",keyword:"type",params:{type: schema11.properties.encoder_cudagraph_max_images_per_batch.type},message:"must be integer,null"};
if(vErrors === null){
vErrors = [err16];
}
else {
vErrors.push(err16);
}
errors++;
}
if((typeof data8 == "number") && (isFinite(data8))){
if(data8 > 1048576 || isNaN(data8)){
const err17 = {instancePath:instancePath+"/encoder_cudagraph_max_images_per_batch",schemaPath:"#/properties/encoder_cudagraph_max_images_per_batch/maximum",keyword:"maximum",params:{comparison: "<=", limit: 1048576},message:"must be <= 1048576"};
if(vErrors === null){
vErrors = [err17];
}
else {
vErrors.push(err17);
}
errors++;
}
if(data8 < 0 || isNaN(data8)){
const err18 = {instancePath:instancePath+"/encoder_cudagraph_max_images_per_batch",schemaPath:"#/properties/encoder_cudagraph_max_images_per_batch/minimum",keyword:"minimum",params:{comparison: ">=", limit: 0},message:"must be >= 0"};
if(vErrors === null){
vErrors = [err18];
}
else {
vErrors.push(err18);
}
errors++;
}
}
}
if(data.encoder_cudagraph_piecewise !== undefined){
if(!(data.encoder_cudagraph_piecewise === false)){
const err19 = {instancePath:instancePath+"/encoder_cudagraph_piecewise",schemaPath:"#/properties/encoder_cudagraph_piecewise/enum",keyword:"enum",params:{allowedValues: schema11.properties.encoder_cudagraph_piecewise.enum},message:"must be equal to one of the allowed values"};
if(vErrors === null){
vErrors = [err19];
}
else {
vErrors.push(err19);
}
errors++;
}
}
if(data.encoder_cudagraph_capture_sizes !== undefined){
let data10 = data.encoder_cudagraph_capture_sizes;
if((!(Array.isArray(data10))) && (data10 !== null)){
const err20 = {instancePath:instancePath+"/encoder_cudagraph_capture_sizes",schemaPath:"#/properties/encoder_cudagraph_capture_sizes/type",keyword:"type",params:{type: schema11.properties.encoder_cudagraph_capture_sizes.type},message:"must be array,null"};
if(vErrors === null){
vErrors = [err20];
}
else {
vErrors.push(err20);
}
errors++;
}
if(Array.isArray(data10)){
if(data10.length > 0){
const err21 = {instancePath:instancePath+"/encoder_cudagraph_capture_sizes",schemaPath:"#/properties/encoder_cudagraph_capture_sizes/maxItems",keyword:"maxItems",params:{limit: 0},message:"must NOT have more than 0 items"};
if(vErrors === null){
vErrors = [err21];
}
else {
vErrors.push(err21);
}
errors++;
}
const len1 = data10.length;
for(let i1=0; i1<len1; i1++){
let data11 = data10[i1];
if(!(((typeof data11 == "number") && (!(data11 % 1) && !isNaN(data11))) && (isFinite(data11)))){
const err22 = {instancePath:instancePath+"/encoder_cudagraph_capture_sizes/" + i1,schemaPath:"#/properties/encoder_cudagraph_capture_sizes/items/type",keyword:"type",params:{type: "integer"},message:"must be integer"};
if(vErrors === null){
vErrors = [err22];
}
else {
vErrors.push(err22);
}
errors++;
}
if((typeof data11 == "number") && (isFinite(data11))){
if(data11 > 9007199254740991 || isNaN(data11)){
const err23 = {instancePath:instancePath+"/encoder_cudagraph_capture_sizes/" + i1,schemaPath:"#/properties/encoder_cudagraph_capture_sizes/items/maximum",keyword:"maximum",params:{comparison: "<=", limit: 9007199254740991},message:"must be <= 9007199254740991"};
if(vErrors === null){
vErrors = [err23];
}
else {
vErrors.push(err23);
}
errors++;
}
}
}
}
}
if(data.encoder_spatial_merge_size !== undefined){
let data12 = data.encoder_spatial_merge_size;
if((!(((typeof data12 == "number") && (!(data12 % 1) && !isNaN(data12))) && (isFinite(data12)))) && (data12 !== null)){
const err24 = {instancePath:instancePath+"/encoder_spatial_merge_size",schemaPath:"#/properties/encoder_spatial_merge_size/type",keyword:"type",params:{type: schema11.properties.encoder_spatial_merge_size.type},message:"must be integer,null"};
if(vErrors === null){
vErrors = [err24];
}
else {
vErrors.push(err24);
}
errors++;
}
if((typeof data12 == "number") && (isFinite(data12))){
if(data12 > 9007199254740991 || isNaN(data12)){
const err25 = {instancePath:instancePath+"/encoder_spatial_merge_size",schemaPath:"#/properties/encoder_spatial_merge_size/maximum",keyword:"maximum",params:{comparison: "<=", limit: 9007199254740991},message:"must be <= 9007199254740991"};
if(vErrors === null){
vErrors = [err25];
}
else {
vErrors.push(err25);
}
errors++;
}
if(data12 <= 0 || isNaN(data12)){
const err26 = {instancePath:instancePath+"/encoder_spatial_merge_size",schemaPath:"#/properties/encoder_spatial_merge_size/exclusiveMinimum",keyword:"exclusiveMinimum",params:{comparison: ">", limit: 0},message:"must be > 0"};
if(vErrors === null){
vErrors = [err26];
}
else {
vErrors.push(err26);
}
errors++;
}
}
}
if(data.mode !== undefined){
let data13 = data.mode;
if(!(((((((((data13 === null) || (data13 === "NONE")) || (data13 === "STOCK_TORCH_COMPILE")) || (data13 === "DYNAMO_TRACE_ONCE")) || (data13 === "VLLM_COMPILE")) || (data13 === 0)) || (data13 === 1)) || (data13 === 2)) || (data13 === 3))){
const err27 = {instancePath:instancePath+"/mode",schemaPath:"#/properties/mode/enum",keyword:"enum",params:{allowedValues: schema11.properties.mode.enum},message:"must be equal to one of the allowed values"};
if(vErrors === null){
vErrors = [err27];
}
else {
vErrors.push(err27);
}
errors++;
}
}
if(data.debug_dump_path !== undefined){
let data14 = data.debug_dump_path;
if((typeof data14 !== "string") && (data14 !== null)){
const err28 = {instancePath:instancePath+"/debug_dump_path",schemaPath:"#/properties/debug_dump_path/type",keyword:"type",params:{type: schema11.properties.debug_dump_path.type},message:"must be string,null"};
if(vErrors === null){
vErrors = [err28];
}
else {
vErrors.push(err28);
}
errors++;
}
}
if(data.cache_dir !== undefined){
if(typeof data.cache_dir !== "string"){
const err29 = {instancePath:instancePath+"/cache_dir",schemaPath:"#/properties/cache_dir/type",keyword:"type",params:{type: "string"},message:"must be string"};
if(vErrors === null){
vErrors = [err29];
}
else {
vErrors.push(err29);
}
errors++;
}
}
if(data.compile_cache_save_format !== undefined){
let data16 = data.compile_cache_save_format;
if(!((data16 === "binary") || (data16 === "unpacked"))){
const err30 = {instancePath:instancePath+"/compile_cache_save_format",schemaPath:"#/properties/compile_cache_save_format/enum",keyword:"enum",params:{allowedValues: schema11.properties.compile_cache_save_format.enum},message:"must be equal to one of the allowed values"};
if(vErrors === null){
vErrors = [err30];
}
else {
vErrors.push(err30);
}
errors++;
}
}
if(data.backend !== undefined){
if(typeof data.backend !== "string"){
const err31 = {instancePath:instancePath+"/backend",schemaPath:"#/properties/backend/type",keyword:"type",params:{type: "string"},message:"must be string"};
if(vErrors === null){
vErrors = [err31];
}
else {
vErrors.push(err31);
}
errors++;
}
}
if(data.custom_ops !== undefined){
let data18 = data.custom_ops;
if(Array.isArray(data18)){
const len2 = data18.length;
for(let i2=0; i2<len2; i2++){
let data19 = data18[i2];
if(typeof data19 === "string"){
if(!pattern0.test(data19)){
const err32 = {instancePath:instancePath+"/custom_ops/" + i2,schemaPath:"#/properties/custom_ops/items/pattern",keyword:"pattern",params:{pattern: "^(all|none|[+-].+)$"},message:"must match pattern \""+"^(all|none|[+-].+)$"+"\""};
if(vErrors === null){
vErrors = [err32];
}
else {
vErrors.push(err32);
}
errors++;
}
}
else {
const err33 = {instancePath:instancePath+"/custom_ops/" + i2,schemaPath:"#/properties/custom_ops/items/type",keyword:"type",params:{type: "string"},message:"must be string"};
if(vErrors === null){
vErrors = [err33];
}
else {
vErrors.push(err33);
}
errors++;
}
}
}
else {
const err34 = {instancePath:instancePath+"/custom_ops",schemaPath:"#/properties/custom_ops/type",keyword:"type",params:{type: "array"},message:"must be array"};
if(vErrors === null){
vErrors = [err34];
}
else {
vErrors.push(err34);
}
errors++;
}
}
if(data.ir_enable_torch_wrap !== undefined){
let data20 = data.ir_enable_torch_wrap;
if((typeof data20 !== "boolean") && (data20 !== null)){
const err35 = {instancePath:instancePath+"/ir_enable_torch_wrap",schemaPath:"#/properties/ir_enable_torch_wrap/type",keyword:"type",params:{type: schema11.properties.ir_enable_torch_wrap.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err35];
}
else {
vErrors.push(err35);
}
errors++;
}
}
if(data.splitting_ops !== undefined){
let data21 = data.splitting_ops;
if((!(Array.isArray(data21))) && (data21 !== null)){
const err36 = {instancePath:instancePath+"/splitting_ops",schemaPath:"#/properties/splitting_ops/type",keyword:"type",params:{type: schema11.properties.splitting_ops.type},message:"must be array,null"};
if(vErrors === null){
vErrors = [err36];
}
else {
vErrors.push(err36);
}
errors++;
}
if(Array.isArray(data21)){
const len3 = data21.length;
for(let i3=0; i3<len3; i3++){
if(typeof data21[i3] !== "string"){
const err37 = {instancePath:instancePath+"/splitting_ops/" + i3,schemaPath:"#/properties/splitting_ops/items/type",keyword:"type",params:{type: "string"},message:"must be string"};
if(vErrors === null){
vErrors = [err37];
}
else {
vErrors.push(err37);
}
errors++;
}
}
}
}
if(data.compile_sizes !== undefined){
let data23 = data.compile_sizes;
if((!(Array.isArray(data23))) && (data23 !== null)){
const err38 = {instancePath:instancePath+"/compile_sizes",schemaPath:"#/properties/compile_sizes/type",keyword:"type",params:{type: schema11.properties.compile_sizes.type},message:"must be array,null"};
if(vErrors === null){
vErrors = [err38];
}
else {
vErrors.push(err38);
}
errors++;
}
if(Array.isArray(data23)){
const len4 = data23.length;
for(let i4=0; i4<len4; i4++){
let data24 = data23[i4];
const _errs48 = errors;
let valid11 = false;
const _errs49 = errors;
if(!(((typeof data24 == "number") && (!(data24 % 1) && !isNaN(data24))) && (isFinite(data24)))){
const err39 = {instancePath:instancePath+"/compile_sizes/" + i4,schemaPath:"#/properties/compile_sizes/items/anyOf/0/type",keyword:"type",params:{type: "integer"},message:"must be integer"};
if(vErrors === null){
vErrors = [err39];
}
else {
vErrors.push(err39);
}
errors++;
}
if((typeof data24 == "number") && (isFinite(data24))){
if(data24 > 9007199254740991 || isNaN(data24)){
const err40 = {instancePath:instancePath+"/compile_sizes/" + i4,schemaPath:"#/properties/compile_sizes/items/anyOf/0/maximum",keyword:"maximum",params:{comparison: "<=", limit: 9007199254740991},message:"must be <= 9007199254740991"};
if(vErrors === null){
vErrors = [err40];
}
else {
vErrors.push(err40);
}
errors++;
}
}
var _valid0 = _errs49 === errors;
valid11 = valid11 || _valid0;
if(!valid11){
const _errs51 = errors;
if("cudagraph_capture_sizes" !== data24){
const err41 = {instancePath:instancePath+"/compile_sizes/" + i4,schemaPath:"#/properties/compile_sizes/items/anyOf/1/const",keyword:"const",params:{allowedValue: "cudagraph_capture_sizes"},message:"must be equal to constant"};
if(vErrors === null){
vErrors = [err41];
}
else {
vErrors.push(err41);
}
errors++;
}
var _valid0 = _errs51 === errors;
valid11 = valid11 || _valid0;
}
if(!valid11){
const err42 = {instancePath:instancePath+"/compile_sizes/" + i4,schemaPath:"#/properties/compile_sizes/items/anyOf",keyword:"anyOf",params:{},message:"must match a schema in anyOf"};
if(vErrors === null){
vErrors = [err42];
}
else {
vErrors.push(err42);
}
errors++;
}
else {
errors = _errs48;
if(vErrors !== null){
if(_errs48){
vErrors.length = _errs48;
}
else {
vErrors = null;
}
}
}
}
}
}
if(data.compile_ranges_endpoints !== undefined){
let data25 = data.compile_ranges_endpoints;
if((!(Array.isArray(data25))) && (data25 !== null)){
const err43 = {instancePath:instancePath+"/compile_ranges_endpoints",schemaPath:"#/properties/compile_ranges_endpoints/type",keyword:"type",params:{type: schema11.properties.compile_ranges_endpoints.type},message:"must be array,null"};
if(vErrors === null){
vErrors = [err43];
}
else {
vErrors.push(err43);
}
errors++;
}
if(Array.isArray(data25)){
const len5 = data25.length;
for(let i5=0; i5<len5; i5++){
let data26 = data25[i5];
if(!(((typeof data26 == "number") && (!(data26 % 1) && !isNaN(data26))) && (isFinite(data26)))){
const err44 = {instancePath:instancePath+"/compile_ranges_endpoints/" + i5,schemaPath:"#/properties/compile_ranges_endpoints/items/type",keyword:"type",params:{type: "integer"},message:"must be integer"};
if(vErrors === null){
vErrors = [err44];
}
else {
vErrors.push(err44);
}
errors++;
}
if((typeof data26 == "number") && (isFinite(data26))){
if(data26 > 9007199254740991 || isNaN(data26)){
const err45 = {instancePath:instancePath+"/compile_ranges_endpoints/" + i5,schemaPath:"#/properties/compile_ranges_endpoints/items/maximum",keyword:"maximum",params:{comparison: "<=", limit: 9007199254740991},message:"must be <= 9007199254740991"};
if(vErrors === null){
vErrors = [err45];
}
else {
vErrors.push(err45);
}
errors++;
}
}
}
}
}
if(data.inductor_compile_config !== undefined){
let data27 = data.inductor_compile_config;
if(!(data27 && typeof data27 == "object" && !Array.isArray(data27))){
const err46 = {instancePath:instancePath+"/inductor_compile_config",schemaPath:"#/properties/inductor_compile_config/type",keyword:"type",params:{type: "object"},message:"must be object"};
if(vErrors === null){
vErrors = [err46];
}
else {
vErrors.push(err46);
}
errors++;
}
}
if(data.inductor_passes !== undefined){
let data28 = data.inductor_passes;
if(data28 && typeof data28 == "object" && !Array.isArray(data28)){
for(const key1 in data28){
if(typeof data28[key1] !== "string"){
const err47 = {instancePath:instancePath+"/inductor_passes/" + key1.replace(/~/g, "~0").replace(/\//g, "~1"),schemaPath:"#/properties/inductor_passes/additionalProperties/type",keyword:"type",params:{type: "string"},message:"must be string"};
if(vErrors === null){
vErrors = [err47];
}
else {
vErrors.push(err47);
}
errors++;
}
}
}
else {
const err48 = {instancePath:instancePath+"/inductor_passes",schemaPath:"#/properties/inductor_passes/type",keyword:"type",params:{type: "object"},message:"must be object"};
if(vErrors === null){
vErrors = [err48];
}
else {
vErrors.push(err48);
}
errors++;
}
}
if(data.cudagraph_mode !== undefined){
let data30 = data.cudagraph_mode;
if(!(((((((((data30 === null) || (data30 === "NONE")) || (data30 === "PIECEWISE")) || (data30 === "FULL")) || (data30 === "FULL_DECODE_ONLY")) || (data30 === "FULL_AND_PIECEWISE")) || (data30 === 0)) || (data30 === 1)) || (data30 === 2))){
const err49 = {instancePath:instancePath+"/cudagraph_mode",schemaPath:"#/properties/cudagraph_mode/enum",keyword:"enum",params:{allowedValues: schema11.properties.cudagraph_mode.enum},message:"must be equal to one of the allowed values"};
if(vErrors === null){
vErrors = [err49];
}
else {
vErrors.push(err49);
}
errors++;
}
}
if(data.cudagraph_num_of_warmups !== undefined){
let data31 = data.cudagraph_num_of_warmups;
if(!(((typeof data31 == "number") && (!(data31 % 1) && !isNaN(data31))) && (isFinite(data31)))){
const err50 = {instancePath:instancePath+"/cudagraph_num_of_warmups",schemaPath:"#/properties/cudagraph_num_of_warmups/type",keyword:"type",params:{type: "integer"},message:"must be integer"};
if(vErrors === null){
vErrors = [err50];
}
else {
vErrors.push(err50);
}
errors++;
}
if((typeof data31 == "number") && (isFinite(data31))){
if(data31 > 9007199254740991 || isNaN(data31)){
const err51 = {instancePath:instancePath+"/cudagraph_num_of_warmups",schemaPath:"#/properties/cudagraph_num_of_warmups/maximum",keyword:"maximum",params:{comparison: "<=", limit: 9007199254740991},message:"must be <= 9007199254740991"};
if(vErrors === null){
vErrors = [err51];
}
else {
vErrors.push(err51);
}
errors++;
}
}
}
if(data.cudagraph_capture_sizes !== undefined){
let data32 = data.cudagraph_capture_sizes;
if((!(Array.isArray(data32))) && (data32 !== null)){
const err52 = {instancePath:instancePath+"/cudagraph_capture_sizes",schemaPath:"#/properties/cudagraph_capture_sizes/type",keyword:"type",params:{type: schema11.properties.cudagraph_capture_sizes.type},message:"must be array,null"};
if(vErrors === null){
vErrors = [err52];
}
else {
vErrors.push(err52);
}
errors++;
}
if(Array.isArray(data32)){
const len6 = data32.length;
for(let i6=0; i6<len6; i6++){
let data33 = data32[i6];
if(!(((typeof data33 == "number") && (!(data33 % 1) && !isNaN(data33))) && (isFinite(data33)))){
const err53 = {instancePath:instancePath+"/cudagraph_capture_sizes/" + i6,schemaPath:"#/properties/cudagraph_capture_sizes/items/type",keyword:"type",params:{type: "integer"},message:"must be integer"};
if(vErrors === null){
vErrors = [err53];
}
else {
vErrors.push(err53);
}
errors++;
}
if((typeof data33 == "number") && (isFinite(data33))){
if(data33 > 9007199254740991 || isNaN(data33)){
const err54 = {instancePath:instancePath+"/cudagraph_capture_sizes/" + i6,schemaPath:"#/properties/cudagraph_capture_sizes/items/maximum",keyword:"maximum",params:{comparison: "<=", limit: 9007199254740991},message:"must be <= 9007199254740991"};
if(vErrors === null){
vErrors = [err54];
}
else {
vErrors.push(err54);
}
errors++;
}
}
}
}
}
if(data.cudagraph_copy_inputs !== undefined){
if(typeof data.cudagraph_copy_inputs !== "boolean"){
const err55 = {instancePath:instancePath+"/cudagraph_copy_inputs",schemaPath:"#/properties/cudagraph_copy_inputs/type",keyword:"type",params:{type: "boolean"},message:"must be boolean"};
if(vErrors === null){
vErrors = [err55];
}
else {
vErrors.push(err55);
}
errors++;
}
}
if(data.cudagraph_specialize_lora !== undefined){
if(typeof data.cudagraph_specialize_lora !== "boolean"){
const err56 = {instancePath:instancePath+"/cudagraph_specialize_lora",schemaPath:"#/properties/cudagraph_specialize_lora/type",keyword:"type",params:{type: "boolean"},message:"must be boolean"};
if(vErrors === null){
vErrors = [err56];
}
else {
vErrors.push(err56);
}
errors++;
}
}
if(data.use_inductor_graph_partition !== undefined){
let data36 = data.use_inductor_graph_partition;
if((typeof data36 !== "boolean") && (data36 !== null)){
const err57 = {instancePath:instancePath+"/use_inductor_graph_partition",schemaPath:"#/properties/use_inductor_graph_partition/type",keyword:"type",params:{type: schema11.properties.use_inductor_graph_partition.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err57];
}
else {
vErrors.push(err57);
}
errors++;
}
}
if(data.pass_config !== undefined){
let data37 = data.pass_config;
if(data37 && typeof data37 == "object" && !Array.isArray(data37)){
for(const key2 in data37){
if(!(func2.call(schema12.properties, key2))){
const err58 = {instancePath:instancePath+"/pass_config",schemaPath:"#/definitions/PassConfig/additionalProperties",keyword:"additionalProperties",params:{additionalProperty: key2},message:"must NOT have additional properties"};
if(vErrors === null){
vErrors = [err58];
}
else {
vErrors.push(err58);
}
errors++;
}
}
if(data37.fuse_norm_quant !== undefined){
let data38 = data37.fuse_norm_quant;
if((typeof data38 !== "boolean") && (data38 !== null)){
const err59 = {instancePath:instancePath+"/pass_config/fuse_norm_quant",schemaPath:"#/definitions/PassConfig/properties/fuse_norm_quant/type",keyword:"type",params:{type: schema12.properties.fuse_norm_quant.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err59];
}
else {
vErrors.push(err59);
}
errors++;
}
}
if(data37.fuse_act_quant !== undefined){
let data39 = data37.fuse_act_quant;
if((typeof data39 !== "boolean") && (data39 !== null)){
const err60 = {instancePath:instancePath+"/pass_config/fuse_act_quant",schemaPath:"#/definitions/PassConfig/properties/fuse_act_quant/type",keyword:"type",params:{type: schema12.properties.fuse_act_quant.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err60];
}
else {
vErrors.push(err60);
}
errors++;
}
}
if(data37.fuse_attn_quant !== undefined){
let data40 = data37.fuse_attn_quant;
if((typeof data40 !== "boolean") && (data40 !== null)){
const err61 = {instancePath:instancePath+"/pass_config/fuse_attn_quant",schemaPath:"#/definitions/PassConfig/properties/fuse_attn_quant/type",keyword:"type",params:{type: schema12.properties.fuse_attn_quant.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err61];
}
else {
vErrors.push(err61);
}
errors++;
}
}
if(data37.eliminate_noops !== undefined){
let data41 = data37.eliminate_noops;
if((typeof data41 !== "boolean") && (data41 !== null)){
const err62 = {instancePath:instancePath+"/pass_config/eliminate_noops",schemaPath:"#/definitions/PassConfig/properties/eliminate_noops/type",keyword:"type",params:{type: schema12.properties.eliminate_noops.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err62];
}
else {
vErrors.push(err62);
}
errors++;
}
}
if(data37.enable_sp !== undefined){
let data42 = data37.enable_sp;
if((typeof data42 !== "boolean") && (data42 !== null)){
const err63 = {instancePath:instancePath+"/pass_config/enable_sp",schemaPath:"#/definitions/PassConfig/properties/enable_sp/type",keyword:"type",params:{type: schema12.properties.enable_sp.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err63];
}
else {
vErrors.push(err63);
}
errors++;
}
}
if(data37.fuse_gemm_comms !== undefined){
let data43 = data37.fuse_gemm_comms;
if((typeof data43 !== "boolean") && (data43 !== null)){
const err64 = {instancePath:instancePath+"/pass_config/fuse_gemm_comms",schemaPath:"#/definitions/PassConfig/properties/fuse_gemm_comms/type",keyword:"type",params:{type: schema12.properties.fuse_gemm_comms.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err64];
}
else {
vErrors.push(err64);
}
errors++;
}
}
if(data37.fuse_allreduce_rms !== undefined){
let data44 = data37.fuse_allreduce_rms;
if((typeof data44 !== "boolean") && (data44 !== null)){
const err65 = {instancePath:instancePath+"/pass_config/fuse_allreduce_rms",schemaPath:"#/definitions/PassConfig/properties/fuse_allreduce_rms/type",keyword:"type",params:{type: schema12.properties.fuse_allreduce_rms.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err65];
}
else {
vErrors.push(err65);
}
errors++;
}
}
if(data37.enable_qk_norm_rope_fusion !== undefined){
let data45 = data37.enable_qk_norm_rope_fusion;
if((typeof data45 !== "boolean") && (data45 !== null)){
const err66 = {instancePath:instancePath+"/pass_config/enable_qk_norm_rope_fusion",schemaPath:"#/definitions/PassConfig/properties/enable_qk_norm_rope_fusion/type",keyword:"type",params:{type: schema12.properties.enable_qk_norm_rope_fusion.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err66];
}
else {
vErrors.push(err66);
}
errors++;
}
}
if(data37.fuse_rope_kvcache_cat_mla !== undefined){
let data46 = data37.fuse_rope_kvcache_cat_mla;
if((typeof data46 !== "boolean") && (data46 !== null)){
const err67 = {instancePath:instancePath+"/pass_config/fuse_rope_kvcache_cat_mla",schemaPath:"#/definitions/PassConfig/properties/fuse_rope_kvcache_cat_mla/type",keyword:"type",params:{type: schema12.properties.fuse_rope_kvcache_cat_mla.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err67];
}
else {
vErrors.push(err67);
}
errors++;
}
}
if(data37.fuse_act_padding !== undefined){
let data47 = data37.fuse_act_padding;
if((typeof data47 !== "boolean") && (data47 !== null)){
const err68 = {instancePath:instancePath+"/pass_config/fuse_act_padding",schemaPath:"#/definitions/PassConfig/properties/fuse_act_padding/type",keyword:"type",params:{type: schema12.properties.fuse_act_padding.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err68];
}
else {
vErrors.push(err68);
}
errors++;
}
}
if(data37.fuse_mla_dual_rms_norm !== undefined){
let data48 = data37.fuse_mla_dual_rms_norm;
if((typeof data48 !== "boolean") && (data48 !== null)){
const err69 = {instancePath:instancePath+"/pass_config/fuse_mla_dual_rms_norm",schemaPath:"#/definitions/PassConfig/properties/fuse_mla_dual_rms_norm/type",keyword:"type",params:{type: schema12.properties.fuse_mla_dual_rms_norm.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err69];
}
else {
vErrors.push(err69);
}
errors++;
}
}
if(data37.fuse_rope_kvcache !== undefined){
let data49 = data37.fuse_rope_kvcache;
if((typeof data49 !== "boolean") && (data49 !== null)){
const err70 = {instancePath:instancePath+"/pass_config/fuse_rope_kvcache",schemaPath:"#/definitions/PassConfig/properties/fuse_rope_kvcache/type",keyword:"type",params:{type: schema12.properties.fuse_rope_kvcache.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err70];
}
else {
vErrors.push(err70);
}
errors++;
}
}
if(data37.fuse_qk_norm_rope_kvcache !== undefined){
let data50 = data37.fuse_qk_norm_rope_kvcache;
if((typeof data50 !== "boolean") && (data50 !== null)){
const err71 = {instancePath:instancePath+"/pass_config/fuse_qk_norm_rope_kvcache",schemaPath:"#/definitions/PassConfig/properties/fuse_qk_norm_rope_kvcache/type",keyword:"type",params:{type: schema12.properties.fuse_qk_norm_rope_kvcache.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err71];
}
else {
vErrors.push(err71);
}
errors++;
}
}
if(data37.rope_kvcache_fusion_max_token_num !== undefined){
let data51 = data37.rope_kvcache_fusion_max_token_num;
if(!(((typeof data51 == "number") && (!(data51 % 1) && !isNaN(data51))) && (isFinite(data51)))){
const err72 = {instancePath:instancePath+"/pass_config/rope_kvcache_fusion_max_token_num",schemaPath:"#/definitions/PassConfig/properties/rope_kvcache_fusion_max_token_num/type",keyword:"type",params:{type: "integer"},message:"must be integer"};
if(vErrors === null){
vErrors = [err72];
}
else {
vErrors.push(err72);
}
errors++;
}
if((typeof data51 == "number") && (isFinite(data51))){
if(data51 > 9007199254740991 || isNaN(data51)){
const err73 = {instancePath:instancePath+"/pass_config/rope_kvcache_fusion_max_token_num",schemaPath:"#/definitions/PassConfig/properties/rope_kvcache_fusion_max_token_num/maximum",keyword:"maximum",params:{comparison: "<=", limit: 9007199254740991},message:"must be <= 9007199254740991"};
if(vErrors === null){
vErrors = [err73];
}
else {
vErrors.push(err73);
}
errors++;
}
}
}
if(data37.fi_allreduce_fusion_max_size_mb !== undefined){
let data52 = data37.fi_allreduce_fusion_max_size_mb;
if((!((typeof data52 == "number") && (isFinite(data52)))) && (data52 !== null)){
const err74 = {instancePath:instancePath+"/pass_config/fi_allreduce_fusion_max_size_mb",schemaPath:"#/definitions/PassConfig/properties/fi_allreduce_fusion_max_size_mb/type",keyword:"type",params:{type: schema12.properties.fi_allreduce_fusion_max_size_mb.type},message:"must be number,null"};
if(vErrors === null){
vErrors = [err74];
}
else {
vErrors.push(err74);
}
errors++;
}
}
if(data37.sp_min_token_num !== undefined){
let data53 = data37.sp_min_token_num;
if((!(((typeof data53 == "number") && (!(data53 % 1) && !isNaN(data53))) && (isFinite(data53)))) && (data53 !== null)){
const err75 = {instancePath:instancePath+"/pass_config/sp_min_token_num",schemaPath:"#/definitions/PassConfig/properties/sp_min_token_num/type",keyword:"type",params:{type: schema12.properties.sp_min_token_num.type},message:"must be integer,null"};
if(vErrors === null){
vErrors = [err75];
}
else {
vErrors.push(err75);
}
errors++;
}
if((typeof data53 == "number") && (isFinite(data53))){
if(data53 > 9007199254740991 || isNaN(data53)){
const err76 = {instancePath:instancePath+"/pass_config/sp_min_token_num",schemaPath:"#/definitions/PassConfig/properties/sp_min_token_num/maximum",keyword:"maximum",params:{comparison: "<=", limit: 9007199254740991},message:"must be <= 9007199254740991"};
if(vErrors === null){
vErrors = [err76];
}
else {
vErrors.push(err76);
}
errors++;
}
}
}
if(data37.enable_fusion !== undefined){
const err77 = {instancePath:instancePath+"/pass_config/enable_fusion",schemaPath:"#/definitions/PassConfig/properties/enable_fusion/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err77];
}
else {
vErrors.push(err77);
}
errors++;
}
if(data37.enable_attn_fusion !== undefined){
const err78 = {instancePath:instancePath+"/pass_config/enable_attn_fusion",schemaPath:"#/definitions/PassConfig/properties/enable_attn_fusion/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err78];
}
else {
vErrors.push(err78);
}
errors++;
}
if(data37.enable_noop !== undefined){
const err79 = {instancePath:instancePath+"/pass_config/enable_noop",schemaPath:"#/definitions/PassConfig/properties/enable_noop/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err79];
}
else {
vErrors.push(err79);
}
errors++;
}
if(data37.enable_reshape !== undefined){
const err80 = {instancePath:instancePath+"/pass_config/enable_reshape",schemaPath:"#/definitions/PassConfig/properties/enable_reshape/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err80];
}
else {
vErrors.push(err80);
}
errors++;
}
if(data37.enable_sequence_parallelism !== undefined){
const err81 = {instancePath:instancePath+"/pass_config/enable_sequence_parallelism",schemaPath:"#/definitions/PassConfig/properties/enable_sequence_parallelism/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err81];
}
else {
vErrors.push(err81);
}
errors++;
}
if(data37.enable_async_tp !== undefined){
const err82 = {instancePath:instancePath+"/pass_config/enable_async_tp",schemaPath:"#/definitions/PassConfig/properties/enable_async_tp/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err82];
}
else {
vErrors.push(err82);
}
errors++;
}
if(data37.enable_fi_allreduce_fusion !== undefined){
const err83 = {instancePath:instancePath+"/pass_config/enable_fi_allreduce_fusion",schemaPath:"#/definitions/PassConfig/properties/enable_fi_allreduce_fusion/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err83];
}
else {
vErrors.push(err83);
}
errors++;
}
if(data37.fi_allreduce_fusion_max_token_num !== undefined){
const err84 = {instancePath:instancePath+"/pass_config/fi_allreduce_fusion_max_token_num",schemaPath:"#/definitions/PassConfig/properties/fi_allreduce_fusion_max_token_num/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err84];
}
else {
vErrors.push(err84);
}
errors++;
}
if(data37.dump_graph_stages !== undefined){
const err85 = {instancePath:instancePath+"/pass_config/dump_graph_stages",schemaPath:"#/definitions/PassConfig/properties/dump_graph_stages/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err85];
}
else {
vErrors.push(err85);
}
errors++;
}
if(data37.dump_graph_dir !== undefined){
const err86 = {instancePath:instancePath+"/pass_config/dump_graph_dir",schemaPath:"#/definitions/PassConfig/properties/dump_graph_dir/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err86];
}
else {
vErrors.push(err86);
}
errors++;
}
}
else {
const err87 = {instancePath:instancePath+"/pass_config",schemaPath:"#/definitions/PassConfig/type",keyword:"type",params:{type: "object"},message:"must be object"};
if(vErrors === null){
vErrors = [err87];
}
else {
vErrors.push(err87);
}
errors++;
}
}
if(data.max_cudagraph_capture_size !== undefined){
let data64 = data.max_cudagraph_capture_size;
if((!(((typeof data64 == "number") && (!(data64 % 1) && !isNaN(data64))) && (isFinite(data64)))) && (data64 !== null)){
const err88 = {instancePath:instancePath+"/max_cudagraph_capture_size",schemaPath:"#/properties/max_cudagraph_capture_size/type",keyword:"type",params:{type: schema11.properties.max_cudagraph_capture_size.type},message:"must be integer,null"};
if(vErrors === null){
vErrors = [err88];
}
else {
vErrors.push(err88);
}
errors++;
}
if((typeof data64 == "number") && (isFinite(data64))){
if(data64 > 9007199254740991 || isNaN(data64)){
const err89 = {instancePath:instancePath+"/max_cudagraph_capture_size",schemaPath:"#/properties/max_cudagraph_capture_size/maximum",keyword:"maximum",params:{comparison: "<=", limit: 9007199254740991},message:"must be <= 9007199254740991"};
if(vErrors === null){
vErrors = [err89];
}
else {
vErrors.push(err89);
}
errors++;
}
}
}
if(data.dynamic_shapes_config !== undefined){
let data65 = data.dynamic_shapes_config;
if(data65 && typeof data65 == "object" && !Array.isArray(data65)){
for(const key3 in data65){
if(!(((key3 === "type") || (key3 === "evaluate_guards")) || (key3 === "assume_32_bit_indexing"))){
const err90 = {instancePath:instancePath+"/dynamic_shapes_config",schemaPath:"#/definitions/DynamicShapesConfig/additionalProperties",keyword:"additionalProperties",params:{additionalProperty: key3},message:"must NOT have additional properties"};
if(vErrors === null){
vErrors = [err90];
}
else {
vErrors.push(err90);
}
errors++;
}
}
if(data65.type !== undefined){
let data66 = data65.type;
if(!(((data66 === "backed") || (data66 === "unbacked")) || (data66 === "backed_size_oblivious"))){
const err91 = {instancePath:instancePath+"/dynamic_shapes_config/type",schemaPath:"#/definitions/DynamicShapesConfig/properties/type/enum",keyword:"enum",params:{allowedValues: schema13.properties.type.enum},message:"must be equal to one of the allowed values"};
if(vErrors === null){
vErrors = [err91];
}
else {
vErrors.push(err91);
}
errors++;
}
}
if(data65.evaluate_guards !== undefined){
if(typeof data65.evaluate_guards !== "boolean"){
const err92 = {instancePath:instancePath+"/dynamic_shapes_config/evaluate_guards",schemaPath:"#/definitions/DynamicShapesConfig/properties/evaluate_guards/type",keyword:"type",params:{type: "boolean"},message:"must be boolean"};
if(vErrors === null){
vErrors = [err92];
}
else {
vErrors.push(err92);
}
errors++;
}
}
if(data65.assume_32_bit_indexing !== undefined){
if(typeof data65.assume_32_bit_indexing !== "boolean"){
const err93 = {instancePath:instancePath+"/dynamic_shapes_config/assume_32_bit_indexing",schemaPath:"#/definitions/DynamicShapesConfig/properties/assume_32_bit_indexing/type",keyword:"type",params:{type: "boolean"},message:"must be boolean"};
if(vErrors === null){
vErrors = [err93];
}
else {
vErrors.push(err93);
}
errors++;
}
}
}
else {
const err94 = {instancePath:instancePath+"/dynamic_shapes_config",schemaPath:"#/definitions/DynamicShapesConfig/type",keyword:"type",params:{type: "object"},message:"must be object"};
if(vErrors === null){
vErrors = [err94];
}
else {
vErrors.push(err94);
}
errors++;
}
}
if(data.fast_moe_cold_start !== undefined){
let data69 = data.fast_moe_cold_start;
if((typeof data69 !== "boolean") && (data69 !== null)){
const err95 = {instancePath:instancePath+"/fast_moe_cold_start",schemaPath:"#/properties/fast_moe_cold_start/type",keyword:"type",params:{type: schema11.properties.fast_moe_cold_start.type},message:"must be boolean,null"};
if(vErrors === null){
vErrors = [err95];
}
else {
vErrors.push(err95);
}
errors++;
}
}
if(data.local_cache_dir !== undefined){
const err96 = {instancePath:instancePath+"/local_cache_dir",schemaPath:"#/properties/local_cache_dir/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err96];
}
else {
vErrors.push(err96);
}
errors++;
}
if(data.enabled_custom_ops !== undefined){
const err97 = {instancePath:instancePath+"/enabled_custom_ops",schemaPath:"#/properties/enabled_custom_ops/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err97];
}
else {
vErrors.push(err97);
}
errors++;
}
if(data.disabled_custom_ops !== undefined){
const err98 = {instancePath:instancePath+"/disabled_custom_ops",schemaPath:"#/properties/disabled_custom_ops/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err98];
}
else {
vErrors.push(err98);
}
errors++;
}
if(data.traced_files !== undefined){
const err99 = {instancePath:instancePath+"/traced_files",schemaPath:"#/properties/traced_files/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err99];
}
else {
vErrors.push(err99);
}
errors++;
}
if(data.compilation_time !== undefined){
const err100 = {instancePath:instancePath+"/compilation_time",schemaPath:"#/properties/compilation_time/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err100];
}
else {
vErrors.push(err100);
}
errors++;
}
if(data.encoder_compilation_time !== undefined){
const err101 = {instancePath:instancePath+"/encoder_compilation_time",schemaPath:"#/properties/encoder_compilation_time/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err101];
}
else {
vErrors.push(err101);
}
errors++;
}
if(data.static_forward_context !== undefined){
const err102 = {instancePath:instancePath+"/static_forward_context",schemaPath:"#/properties/static_forward_context/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err102];
}
else {
vErrors.push(err102);
}
errors++;
}
if(data.static_all_moe_layers !== undefined){
const err103 = {instancePath:instancePath+"/static_all_moe_layers",schemaPath:"#/properties/static_all_moe_layers/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err103];
}
else {
vErrors.push(err103);
}
errors++;
}
if(data.level !== undefined){
const err104 = {instancePath:instancePath+"/level",schemaPath:"#/properties/level/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err104];
}
else {
vErrors.push(err104);
}
errors++;
}
if(data.compile_ranges_split_points !== undefined){
const err105 = {instancePath:instancePath+"/compile_ranges_split_points",schemaPath:"#/properties/compile_ranges_split_points/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err105];
}
else {
vErrors.push(err105);
}
errors++;
}
if(data.encoder_cudagraph_bucket_sizes !== undefined){
const err106 = {instancePath:instancePath+"/encoder_cudagraph_bucket_sizes",schemaPath:"#/properties/encoder_cudagraph_bucket_sizes/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err106];
}
else {
vErrors.push(err106);
}
errors++;
}
if(data.encoder_cudagraph_grid_configs !== undefined){
const err107 = {instancePath:instancePath+"/encoder_cudagraph_grid_configs",schemaPath:"#/properties/encoder_cudagraph_grid_configs/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err107];
}
else {
vErrors.push(err107);
}
errors++;
}
if(data.encoder_cudagraph_token_buckets !== undefined){
const err108 = {instancePath:instancePath+"/encoder_cudagraph_token_buckets",schemaPath:"#/properties/encoder_cudagraph_token_buckets/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err108];
}
else {
vErrors.push(err108);
}
errors++;
}
if(data.encoder_cudagraph_padded_mode !== undefined){
const err109 = {instancePath:instancePath+"/encoder_cudagraph_padded_mode",schemaPath:"#/properties/encoder_cudagraph_padded_mode/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err109];
}
else {
vErrors.push(err109);
}
errors++;
}
if(data.encoder_cudagraph_max_grid_size !== undefined){
const err110 = {instancePath:instancePath+"/encoder_cudagraph_max_grid_size",schemaPath:"#/properties/encoder_cudagraph_max_grid_size/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err110];
}
else {
vErrors.push(err110);
}
errors++;
}
if(data.encoder_cudagraph_one_by_one !== undefined){
const err111 = {instancePath:instancePath+"/encoder_cudagraph_one_by_one",schemaPath:"#/properties/encoder_cudagraph_one_by_one/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err111];
}
else {
vErrors.push(err111);
}
errors++;
}
if(data.encoder_cudagraph_batch_sizes !== undefined){
const err112 = {instancePath:instancePath+"/encoder_cudagraph_batch_sizes",schemaPath:"#/properties/encoder_cudagraph_batch_sizes/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err112];
}
else {
vErrors.push(err112);
}
errors++;
}
if(data.use_inductor !== undefined){
const err113 = {instancePath:instancePath+"/use_inductor",schemaPath:"#/properties/use_inductor/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err113];
}
else {
vErrors.push(err113);
}
errors++;
}
if(data.use_cudagraph !== undefined){
const err114 = {instancePath:instancePath+"/use_cudagraph",schemaPath:"#/properties/use_cudagraph/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err114];
}
else {
vErrors.push(err114);
}
errors++;
}
if(data.full_cuda_graph !== undefined){
const err115 = {instancePath:instancePath+"/full_cuda_graph",schemaPath:"#/properties/full_cuda_graph/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err115];
}
else {
vErrors.push(err115);
}
errors++;
}
if(data.candidate_compile_sizes !== undefined){
const err116 = {instancePath:instancePath+"/candidate_compile_sizes",schemaPath:"#/properties/candidate_compile_sizes/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err116];
}
else {
vErrors.push(err116);
}
errors++;
}
if(data.inductor_compile_sizes !== undefined){
const err117 = {instancePath:instancePath+"/inductor_compile_sizes",schemaPath:"#/properties/inductor_compile_sizes/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err117];
}
else {
vErrors.push(err117);
}
errors++;
}
if(data.capture_sizes !== undefined){
const err118 = {instancePath:instancePath+"/capture_sizes",schemaPath:"#/properties/capture_sizes/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err118];
}
else {
vErrors.push(err118);
}
errors++;
}
if(data.max_capture_size !== undefined){
const err119 = {instancePath:instancePath+"/max_capture_size",schemaPath:"#/properties/max_capture_size/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err119];
}
else {
vErrors.push(err119);
}
errors++;
}
if(data.dump_graph_stages !== undefined){
const err120 = {instancePath:instancePath+"/dump_graph_stages",schemaPath:"#/properties/dump_graph_stages/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err120];
}
else {
vErrors.push(err120);
}
errors++;
}
if(data.dump_graph_dir !== undefined){
const err121 = {instancePath:instancePath+"/dump_graph_dir",schemaPath:"#/properties/dump_graph_dir/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err121];
}
else {
vErrors.push(err121);
}
errors++;
}
if(data.cuda_graph_sizes !== undefined){
const err122 = {instancePath:instancePath+"/cuda_graph_sizes",schemaPath:"#/properties/cuda_graph_sizes/not",keyword:"not",params:{},message:"must NOT be valid"};
if(vErrors === null){
vErrors = [err122];
}
else {
vErrors.push(err122);
}
errors++;
}
}
else {
const err123 = {instancePath,schemaPath:"#/type",keyword:"type",params:{type: "object"},message:"must be object"};
if(vErrors === null){
vErrors = [err123];
}
else {
vErrors.push(err123);
}
errors++;
}
validate10.errors = vErrors;
return errors === 0;
}
